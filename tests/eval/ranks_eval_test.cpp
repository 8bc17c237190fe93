// Evaluation over several ranks: the figures are those of one rank, the files are the same bytes,
// and damaged files are refused.
#include "data/npy.h"
#include "eval/embedding_files.h"
#include "eval/knn.h"
#include "eval/linear_probe.h"
#include "eval/similarity_index.h"
#include "ops/unit_rows.h"
#include "support/ranks.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using testing::all_ranks;
using testing::world;

Features whole_set(int64_t rows, int64_t width, int64_t classes, uint64_t seed) {
  at::manual_seed(99);
  const at::Tensor centres = at::randn({classes, width});
  at::manual_seed(seed);
  const at::Tensor labels = at::randint(classes, {rows}, at::kLong);
  return {centres.index_select(0, labels) + 1.5 * at::randn({rows, width}), labels,
          at::arange(rows, at::kLong) * 3 + 5, world().rank == 0 ? 2 : 0};
}

/// Uneven: rank r has twice the rows of rank r - 1, and the first of several has none.
Features uneven_share(const Features& all) {
  const int64_t rows = all.vectors.size(0), parts = (int64_t{1} << (world().size - 1)) - 1;
  const auto bound = [&](int64_t rank) {
    if (world().size == 1) return rank * rows;
    return rank == 0 ? 0 : rows * ((int64_t{1} << (rank - 1)) - 1) / parts;
  };
  const int64_t begin = bound(world().rank), count = bound(world().rank + 1) - begin;
  return {all.vectors.narrow(0, begin, count), all.labels.narrow(0, begin, count),
          all.ids.narrow(0, begin, count), all.left_out};
}

TEST(Evaluation, RetrievalIsTheDenseCountAtAnyNumberOfRanks) {
  const Features base = whole_set(300, 16, 40, 1), queries = whole_set(90, 16, 40, 2);
  const at::Tensor similarity = unit_rows(queries.vectors).mm(unit_rows(base.vectors).t());
  const at::Tensor order = similarity.argsort(/*dim=*/1, /*descending=*/true);
  const at::Tensor right = base.labels.take(order).eq(queries.labels.unsqueeze(1));
  const RetrievalResult found =
      retrieval_recall(uneven_share(base), uneven_share(queries), {1, 5, 20}, *all_ranks().control);
  EXPECT_EQ(found.queries, 90);
  ASSERT_EQ(found.recall.size(), 3U);
  for (const auto& [neighbours, share] : found.recall)
    EXPECT_DOUBLE_EQ(share,
                     right.narrow(1, 0, neighbours).any(1).to(at::kDouble).mean().item<double>());
  EXPECT_GT(found.recall[2].second, found.recall[0].second);
}

TEST(Evaluation, KnnIsTheSameAtAnyNumberOfRanks) {
  const Features base = whole_set(900, 16, 7, 1), queries = whole_set(200, 16, 7, 2);
  const auto alone = testing::alone();
  for (const int64_t k : {1, 20, 2000}) {
    const KnnResult one = knn_accuracy(base, queries, 7, k, 0.1, *alone->control);
    const KnnResult all =
        knn_accuracy(uneven_share(base), uneven_share(queries), 7, k, 0.1, *all_ranks().control);
    EXPECT_EQ(all.top1, one.top1);
    EXPECT_EQ(all.top5, one.top5);
    EXPECT_EQ(all.queries, 200);
    ASSERT_EQ(all.classes.size(), one.classes.size());
    for (size_t i = 0; i < one.classes.size(); ++i)
      EXPECT_EQ(all.classes[i].top1, one.classes[i].top1);
    EXPECT_GT(one.top1, 0.3);
    EXPECT_LT(one.top1, 1.0);
  }
}

TEST(Evaluation, LinearProbeIsTheSameAtAnyNumberOfRanks) {
  const Features train = whole_set(600, 10, 5, 3), test = whole_set(150, 10, 5, 4);
  const auto alone = testing::alone();
  for (const char* optimizer : {"sgd", "lbfgs"}) {
    ProbeOptions options;
    options.optimizer = optimizer;
    options.batch = 32;
    options.epochs = 10;
    const ProbeResult one = linear_probe(train, test, 5, options, 7, *alone->control);
    const ProbeResult all =
        linear_probe(uneven_share(train), uneven_share(test), 5, options, 7, *all_ranks().control);
    EXPECT_NEAR(all.objective, one.objective, 1e-5) << optimizer;
    EXPECT_LT((all.weight - one.weight).abs().max().item<double>(), 1e-3) << optimizer;
    EXPECT_NEAR(all.top1, one.top1, 1.0 / 150 + 1e-9) << optimizer;  // one near tie
    EXPECT_EQ(all.iterations, one.iterations) << optimizer;
  }
}

std::string bytes_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

EmbeddingSource source() {
  return {"runs/test", 40, "ab", "noise", "test", "plain view of 32 pixels", false};
}

TEST(EmbeddingFiles, AreTheSameBytesAtAnyNumberOfRanks) {
  const Features all = whole_set(257, 9, 4, 5);
  const auto alone = testing::alone();
  const fs::path folder = testing::shared_folder("embeddings");
  const fs::path mine = folder / ("alone-" + std::to_string(world().rank)) / "emb";
  Features whole = all;
  whole.left_out = 2;
  write_embeddings(whole, source(), mine, *alone->control);
  const EmbeddingManifest manifest =
      write_embeddings(uneven_share(all), source(), folder / "all" / "emb", *all_ranks().control);
  for (const char* name : {"emb.npy", "emb.ids.npy", "emb.labels.npy", "emb.json"})
    EXPECT_EQ(bytes_of(folder / "all" / name), bytes_of(mine.parent_path() / name)) << name;
  EXPECT_EQ(manifest.rows, 257);
  EXPECT_EQ(manifest.width, 9);
  EXPECT_EQ(manifest.left_out, 2);
  const EmbeddingManifest read = read_embedding_manifest(folder / "all" / "emb.npy");
  EXPECT_EQ(read.files, manifest.files);
  EXPECT_EQ(read.source.transform, source().transform);
  EXPECT_EQ(read.source.step, 40);
  const NpyArray vectors = read_npy(folder / "all" / "emb.npy");
  EXPECT_EQ(vectors.shape, (std::vector<int64_t>{257, 9}));
  ASSERT_EQ(vectors.bytes.size(), all.vectors.nbytes());
  EXPECT_EQ(std::memcmp(vectors.bytes.data(), all.vectors.const_data_ptr(), vectors.bytes.size()),
            0);
  EXPECT_EQ(read_npy_integers(folder / "all" / "emb.ids.npy")[2], 11);
}

class IndexFiles : public ::testing::Test {
 protected:
  // Each rank writes and searches files of its own.
  void SetUp() override {
    alone_ = testing::alone();
    stem_ = fs::path(testing::shared_folder("index")) /
            (std::to_string(world().rank) + "-" +
             ::testing::UnitTest::GetInstance()->current_test_info()->name()) /
            "emb";
    all_ = whole_set(300, 12, 4, 6);
    write_embeddings(all_, source(), stem_, *alone_->control);
  }
  std::unique_ptr<Communicators> alone_;
  fs::path stem_;
  Features all_;
};

TEST_F(IndexFiles, NeighboursAreThoseOfTheCosines) {
  const at::Tensor unit = unit_rows(all_.vectors).to(at::kDouble);
  const at::Tensor cosine = unit.mm(unit.t());
  for (const std::string kind : {"flat", "hnsw"}) {
    const SimilarityIndex index(write_index(stem_, kind), stem_);
    for (const int64_t row : {0, 17, 299}) {
      const auto found = index.neighbours(all_.ids[row].item<int64_t>(), 10);
      ASSERT_EQ(found.size(), 10u);
      at::Tensor others = cosine.select(0, row).clone();
      others[row] = -2;
      const auto [best, place] = others.topk(10);
      for (int64_t j = 0; j < 10; ++j) {
        EXPECT_NEAR(found[j].similarity, best[j].item<double>(), 1e-5) << kind;
        EXPECT_EQ(found[j].id, all_.ids[place[j].item<int64_t>()].item<int64_t>()) << kind;
        EXPECT_EQ(found[j].label, all_.labels[place[j].item<int64_t>()].item<int64_t>()) << kind;
      }
    }
    EXPECT_EQ(index.neighbours(5, 1000).size(), 299u);
    EXPECT_THROW(index.neighbours(6, 3), std::invalid_argument);
    EXPECT_THROW(index.neighbours(5, 0), std::invalid_argument);
  }
  EXPECT_THROW(write_index(stem_, "tree"), std::invalid_argument);
}

TEST_F(IndexFiles, EveryDamageIsRefused) {
  const fs::path path = write_index(stem_, "flat");
  const std::string sound = bytes_of(path);
  const auto put = [&](const fs::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
  };
  ASSERT_NO_THROW(SimilarityIndex(path, stem_));
  for (const size_t at : {size_t{0}, sound.size() / 2, sound.size() - 1}) {
    std::string damaged = sound;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    put(path, damaged);
    EXPECT_THROW(SimilarityIndex(path, stem_), DataError) << at;
  }
  put(path, sound.substr(0, sound.size() / 2));
  EXPECT_THROW(SimilarityIndex(path, stem_), DataError);
  put(path, "");
  EXPECT_THROW(SimilarityIndex(path, stem_), DataError);
  put(path, sound);
  ASSERT_NO_THROW(SimilarityIndex(path, stem_));
  fs::remove(path.string() + ".sha256");
  EXPECT_THROW(SimilarityIndex(path, stem_), DataError);
}

TEST_F(IndexFiles, AnIndexOfOtherEmbeddingsIsRefused) {
  const fs::path path = write_index(stem_, "flat");
  Features fewer = all_;
  fewer.vectors = all_.vectors.narrow(0, 0, 299);
  fewer.labels = all_.labels.narrow(0, 0, 299);
  fewer.ids = all_.ids.narrow(0, 0, 299);
  write_embeddings(fewer, source(), stem_, *alone_->control);
  EXPECT_THROW(SimilarityIndex(path, stem_), DataError);
}

TEST_F(IndexFiles, DamagedEmbeddingsMakeNoIndex) {
  const EmbeddingPaths paths = embedding_paths(stem_);
  std::string bytes = bytes_of(paths.labels);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  std::ofstream(paths.labels, std::ios::binary) << bytes;
  EXPECT_THROW(read_embedding_manifest(stem_), DataError);
  EXPECT_THROW(write_index(stem_, "flat"), DataError);
  std::ofstream(paths.manifest) << "{\"format\": 3";
  EXPECT_THROW(read_embedding_manifest(stem_), DataError);
  std::ofstream(paths.manifest) << "{\"format\": \"cltrain-embeddings-1\"}";
  EXPECT_THROW(read_embedding_manifest(stem_), DataError);
  fs::remove(paths.manifest);
  EXPECT_THROW(read_embedding_manifest(stem_), DataError);
}

}  // namespace
}  // namespace cltrain
