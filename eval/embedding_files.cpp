#include "eval/embedding_files.h"

#include "data/durable_file.h"
#include "data/files.h"
#include "data/npy.h"
#include "data/sha256.h"
#include "eval/knn.h"
#include "ops/unit_rows.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <vector>

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kTravelBytes = int64_t{16} << 20;

// Sends the rows of all ranks, one rank after the other, to rank 0's `writer`.
void collect(const at::Tensor& local, const std::vector<int64_t>& counts,
             const Communicator& communicator, std::optional<NpyWriter>& writer) {
  const int64_t row_bytes = std::max<int64_t>(
      1, local.numel() ? local.nbytes() / local.size(0)
                       : local.element_size() * (local.dim() > 1 ? local.size(1) : 1));
  const int64_t most = std::max<int64_t>(1, kTravelBytes / row_bytes);
  for (int root = 0; root < communicator.size(); ++root)
    for (int64_t begin = 0; begin < counts[root]; begin += most) {
      auto shape = local.sizes().vec();
      shape[0] = std::min(most, counts[root] - begin);
      at::Tensor piece = communicator.rank() == root ? local.narrow(0, begin, shape[0]).contiguous()
                                                     : at::empty(shape, local.options());
      communicator.broadcast(piece, root);
      if (writer) writer->append(piece.const_data_ptr(), piece.nbytes());
    }
}

void write_array(const at::Tensor& local, const std::string& type,
                 const std::vector<int64_t>& counts, const fs::path& path,
                 const Communicator& communicator) {
  auto shape = local.sizes().vec();
  shape[0] = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  std::optional<NpyWriter> writer;
  if (communicator.rank() == 0) writer.emplace(path, type, shape);
  collect(local, counts, communicator, writer);
  if (writer) writer->commit();
}

Json to_json(const EmbeddingManifest& manifest) {
  const EmbeddingSource& source = manifest.source;
  return {{"format", "cltrain-embeddings-1"},
          {"run", source.run},
          {"checkpoint_step", source.step},
          {"weights_sha256", source.weights_sha256},
          {"data_set", source.data_set},
          {"split", source.split},
          {"transform", source.transform},
          {"normalized", source.normalized},
          {"rows", manifest.rows},
          {"width", manifest.width},
          {"dtype", "float32"},
          {"left_out", manifest.left_out},
          {"files_sha256", manifest.files}};
}

EmbeddingManifest from_json(const Json& json) {
  EmbeddingManifest manifest;
  EmbeddingSource& source = manifest.source;
  json.at("run").get_to(source.run);
  json.at("checkpoint_step").get_to(source.step);
  json.at("weights_sha256").get_to(source.weights_sha256);
  json.at("data_set").get_to(source.data_set);
  json.at("split").get_to(source.split);
  json.at("transform").get_to(source.transform);
  json.at("normalized").get_to(source.normalized);
  json.at("rows").get_to(manifest.rows);
  json.at("width").get_to(manifest.width);
  json.at("left_out").get_to(manifest.left_out);
  json.at("files_sha256").get_to(manifest.files);
  return manifest;
}

}  // namespace

EmbeddingPaths embedding_paths(const fs::path& stem) {
  const std::string base =
      stem.extension() == ".npy" ? fs::path(stem).replace_extension().string() : stem.string();
  return {base + ".npy", base + ".ids.npy", base + ".labels.npy", base + ".json"};
}

EmbeddingManifest write_embeddings(const Features& share, const EmbeddingSource& source,
                                   const fs::path& stem, const Communicator& communicator) {
  const int64_t mine = share.vectors.size(0);
  TORCH_CHECK(share.vectors.dim() == 2 && share.labels.size(0) == mine && share.ids.defined() &&
                  share.ids.size(0) == mine,
              "embeddings: vectors [n, F], labels [n] and ids [n] of the same n are needed");
  const EmbeddingPaths paths = embedding_paths(stem);
  if (communicator.rank() == 0) {
    std::error_code ignored;
    if (paths.manifest.has_parent_path())
      fs::create_directories(paths.manifest.parent_path(), ignored);  // writing says what is wrong
    // An index of the embeddings of before would be taken for one of these.
    const std::string base = paths.manifest.string().substr(0, paths.manifest.string().size() - 5);
    for (const char* ending :
         {".flat.faiss", ".flat.faiss.sha256", ".hnsw.faiss", ".hnsw.faiss.sha256", ".json"})
      remove_durably(base + ending);
  }
  const std::vector<int64_t> counts = communicator.all_gather_count(mine);
  const std::vector<int64_t> left_out = communicator.all_gather_count(share.left_out);
  at::Tensor vectors = share.vectors.cpu().to(at::kFloat);
  if (source.normalized) vectors = unit_rows(vectors);
  write_array(vectors, "<f4", counts, paths.vectors, communicator);
  write_array(share.ids.cpu(), "<i8", counts, paths.ids, communicator);
  write_array(share.labels.cpu(), "<i8", counts, paths.labels, communicator);
  EmbeddingManifest manifest{
      .source = source,
      .rows = std::accumulate(counts.begin(), counts.end(), int64_t{0}),
      .width = vectors.size(1),
      .left_out = std::accumulate(left_out.begin(), left_out.end(), int64_t{0})};
  for (const fs::path& path : {paths.vectors, paths.ids, paths.labels}) {
    std::string checksum(64, '0');
    if (communicator.rank() == 0) checksum = sha256_of_file(path);
    communicator.broadcast(at::from_blob(checksum.data(), {64}, at::kByte));
    manifest.files[path.filename().string()] = checksum;
  }
  if (communicator.rank() == 0)
    replace_file_durably(paths.manifest, to_json(manifest).dump(2) + "\n");
  communicator.barrier();
  return manifest;
}

EmbeddingManifest read_embedding_manifest(const fs::path& stem, bool verify) {
  const EmbeddingPaths paths = embedding_paths(stem);
  const std::vector<uint8_t> bytes = read_file(paths.manifest, uint64_t{1} << 20);
  EmbeddingManifest manifest;
  try {
    const Json json = Json::parse(bytes.begin(), bytes.end());
    if (json.at("format") != "cltrain-embeddings-1")
      throw DataError(paths.manifest.string() + ": format " + json.at("format").dump() +
                      "; expected \"cltrain-embeddings-1\"");
    manifest = from_json(json);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(paths.manifest.string() + ": is no manifest of embeddings (" + error.what() +
                    "): write the embeddings again");
  }
  if (!verify) return manifest;
  for (const auto& [name, expected] : manifest.files) {
    const fs::path path = paths.manifest.parent_path() / name;
    const std::string found = sha256_of_file(path);
    if (found != expected)
      throw DataError(path.string() + ": SHA-256 " + found + ", the manifest says " + expected +
                      ": the file is damaged or another one; write the embeddings again");
  }
  return manifest;
}

}  // namespace cltrain
