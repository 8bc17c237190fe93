#include "eval/similarity_index.h"

#include "data/durable_file.h"
#include "data/files.h"
#include "data/npy.h"
#include "data/sha256.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <faiss/IndexFlat.h>
#include <faiss/IndexHNSW.h>
#include <faiss/MetaIndexes.h>
#include <faiss/impl/FaissException.h>
#include <faiss/index_io.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr int kLinks = 32, kEffortBuilding = 200, kEffortSearching = 128;
constexpr int64_t kRows = 16384;  // added to an index at once

fs::path checksum_path(const fs::path& index) {
  return index.string() + ".sha256";
}

std::unique_ptr<faiss::Index> empty_index(const std::string& kind, int64_t width) {
  if (kind == "flat") return std::make_unique<faiss::IndexFlatIP>(width);
  if (kind != "hnsw")
    throw std::invalid_argument("index of kind '" + kind + "'; allowed: flat, hnsw");
  auto index = std::make_unique<faiss::IndexHNSWFlat>(static_cast<int>(width), kLinks,
                                                      faiss::METRIC_INNER_PRODUCT);
  index->hnsw.efConstruction = kEffortBuilding;
  index->hnsw.efSearch = kEffortSearching;
  return index;
}

void to_unit_length(float* row, int64_t width) {
  double squares = 0;
  for (int64_t d = 0; d < width; ++d) squares += static_cast<double>(row[d]) * row[d];
  const double factor = 1 / std::max(std::sqrt(squares), 1e-12);
  for (int64_t d = 0; d < width; ++d) row[d] = static_cast<float>(row[d] * factor);
}

[[noreturn]] void refuse(const fs::path& path, const std::string& what) {
  throw DataError(path.string() + ": " + what + "; write the index again");
}

void verify(const fs::path& path) {
  const std::vector<uint8_t> bytes = read_file(checksum_path(path), 4096);
  const std::string text(bytes.begin(), bytes.end());
  const std::string expected = text.substr(0, text.find(' '));
  const std::string found = sha256_of_file(path);
  if (found != expected)
    refuse(path, "SHA-256 " + found + ", " + checksum_path(path).filename().string() + " says " +
                     expected + ": the file is damaged or another one");
}

std::unique_ptr<faiss::IndexIDMap> load(const fs::path& path) {
  verify(path);
  std::unique_ptr<faiss::Index> index;
  try {
    index.reset(faiss::read_index(path.c_str()));
  } catch (const std::exception& error) {
    refuse(path, std::string("faiss cannot read it (") + error.what() + ")");
  }
  auto* map = dynamic_cast<faiss::IndexIDMap*>(index.get());
  if (!map || map->metric_type != faiss::METRIC_INNER_PRODUCT)
    refuse(path, "no IndexIDMap by inner product, as cltrain writes it");
  index.release();
  map->own_fields = true;
  return std::unique_ptr<faiss::IndexIDMap>(map);
}

}  // namespace

struct SimilarityIndex::Index {
  std::unique_ptr<faiss::IndexIDMap> map;
};

fs::path index_path(const fs::path& stem, const std::string& kind) {
  return fs::path(embedding_paths(stem).vectors).replace_extension("." + kind + ".faiss");
}

fs::path write_index(const fs::path& stem, const std::string& kind) {
  const EmbeddingManifest manifest = read_embedding_manifest(stem);
  const EmbeddingPaths paths = embedding_paths(stem);
  const std::unique_ptr<faiss::Index> inner = empty_index(kind, manifest.width);
  NpyStream vectors(paths.vectors);
  const std::vector<int64_t> ids = read_npy_integers(paths.ids);
  if (vectors.type() != "<f4" ||
      vectors.shape() != std::vector<int64_t>{manifest.rows, manifest.width} ||
      static_cast<int64_t>(ids.size()) != manifest.rows)
    throw DataError(paths.vectors.string() + ": does not fit " + paths.manifest.string() +
                    "; write the embeddings again");
  faiss::IndexIDMap index(inner.get());
  std::vector<float> rows;
  for (int64_t first = 0; first < manifest.rows; first += kRows) {
    const int64_t count = std::min(kRows, manifest.rows - first);
    rows.resize(static_cast<size_t>(count * manifest.width));
    vectors.read(rows.data(), rows.size() * sizeof(float));
    for (int64_t row = 0; row < count; ++row)
      to_unit_length(rows.data() + row * manifest.width, manifest.width);
    index.add_with_ids(count, rows.data(), ids.data() + first);
  }
  const fs::path path = index_path(stem, kind), temporary = path.string() + ".tmp";
  remove_durably(checksum_path(path));
  try {
    faiss::write_index(&index, temporary.c_str());
  } catch (const faiss::FaissException& error) {
    throw IoError("cannot write " + temporary.string() + ": " + error.what());
  }
  const std::string checksum = sha256_of_file(temporary);
  publish_file(temporary, path);
  replace_file_durably(checksum_path(path), checksum + "  " + path.filename().string() + "\n");
  return path;
}

SimilarityIndex::SimilarityIndex(const fs::path& index, const fs::path& stem)
    : manifest_(read_embedding_manifest(stem)), index_(new Index{load(index)}) {
  const EmbeddingPaths paths = embedding_paths(stem);
  ids_ = read_npy_integers(paths.ids);
  labels_ = read_npy_integers(paths.labels);
  const auto& known = index_->map->id_map;
  if (index_->map->d != manifest_.width || ids_.size() != labels_.size() ||
      !std::equal(ids_.begin(), ids_.end(), known.begin(), known.end()))
    refuse(index, "it is not made of the embeddings in " + paths.vectors.string());
  for (size_t at = 0; at < ids_.size(); ++at)
    positions_.emplace_back(ids_[at], static_cast<int64_t>(at));
  std::sort(positions_.begin(), positions_.end());
}

SimilarityIndex::~SimilarityIndex() = default;

int64_t SimilarityIndex::position_of(int64_t id) const {
  const auto found =
      std::lower_bound(positions_.begin(), positions_.end(), std::pair<int64_t, int64_t>{id, 0});
  if (found == positions_.end() || found->first != id)
    throw std::invalid_argument(
        "no sample " + std::to_string(id) + " among the " + std::to_string(ids_.size()) +
        " embeddings" +
        (positions_.empty() ? std::string()
                            : "; their ids range from " + std::to_string(positions_.front().first) +
                                  " to " + std::to_string(positions_.back().first)));
  return found->second;
}

int64_t SimilarityIndex::label_of(int64_t id) const {
  return labels_[static_cast<size_t>(position_of(id))];
}

std::vector<SimilarSample> SimilarityIndex::neighbours(int64_t id, int64_t k) const {
  if (k < 1)
    throw std::invalid_argument("neighbours: k is " + std::to_string(k) + "; allowed: 1 or more");
  const int64_t position = position_of(id);
  const faiss::IndexIDMap& map = *index_->map;
  const int64_t reach = std::min<int64_t>(k, map.ntotal - 1) + 1;  // itself, too
  std::vector<float> query(static_cast<size_t>(map.d));
  map.index->reconstruct(position, query.data());
  if (auto* hnsw = dynamic_cast<faiss::IndexHNSW*>(map.index))
    hnsw->hnsw.efSearch = static_cast<int>(std::max<int64_t>(kEffortSearching, 2 * reach));
  std::vector<float> similarity(static_cast<size_t>(reach));
  std::vector<faiss::Index::idx_t> found(static_cast<size_t>(reach));
  map.search(1, query.data(), reach, similarity.data(), found.data());
  std::vector<SimilarSample> samples;
  for (size_t i = 0; i < found.size(); ++i)
    if (found[i] >= 0 && found[i] != id)
      samples.push_back({found[i], similarity[i], label_of(found[i])});
  std::sort(samples.begin(), samples.end(), [](const SimilarSample& a, const SimilarSample& b) {
    return a.similarity > b.similarity || (a.similarity == b.similarity && a.id < b.id);
  });
  if (static_cast<int64_t>(samples.size()) > k) samples.resize(static_cast<size_t>(k));
  return samples;
}

}  // namespace cltrain
