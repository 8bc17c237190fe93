// faiss indexes of embedding files (eval/embedding_files.h), to search by cosine similarity, with
// source ids as faiss ids (IndexIDMap):
//   emb.flat.faiss  IndexFlatIP: exact
//   emb.hnsw.faiss  IndexHNSWFlat, M 32, efConstruction 200: approximate and fast
// over rows of unit length, and a file with ".sha256" behind the name, as sha256sum writes it. Any
// program with faiss can read them.
//
// Called by one rank. Writing throws IoError; missing, damaged or unfit files throw DataError
// naming the file. An index is checked against its checksum before faiss sees a byte of it: its
// reader trusts what it reads.
#pragma once

#include "eval/embedding_files.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cltrain {

/// kind: "flat" or "hnsw" (std::invalid_argument otherwise). Reads the embeddings of `stem`, which
/// must fit their manifest, in pieces. Returns the path of the index.
std::filesystem::path write_index(const std::filesystem::path& stem, const std::string& kind);

std::filesystem::path index_path(const std::filesystem::path& stem, const std::string& kind);

struct SimilarSample {
  int64_t id;        ///< source id
  float similarity;  ///< cosine
  int64_t label;     ///< -1 where there is none
};

/// An index opened together with the embeddings it was made of.
class SimilarityIndex {
 public:
  SimilarityIndex(const std::filesystem::path& index, const std::filesystem::path& stem);
  ~SimilarityIndex();
  SimilarityIndex(const SimilarityIndex&) = delete;
  SimilarityIndex& operator=(const SimilarityIndex&) = delete;

  /// The k samples nearest to sample `id`, itself left out, best first, equal ones by id; fewer if
  /// there are fewer. std::invalid_argument for an id that is not in the set (the message says
  /// which ids are), or k < 1.
  std::vector<SimilarSample> neighbours(int64_t id, int64_t k) const;
  int64_t label_of(int64_t id) const;
  const EmbeddingManifest& manifest() const { return manifest_; }

 private:
  struct Index;  // of faiss, whose headers stay in the .cpp file
  int64_t position_of(int64_t id) const;

  EmbeddingManifest manifest_;
  std::unique_ptr<Index> index_;
  std::vector<int64_t> ids_, labels_;                   // [N], in order of position
  std::vector<std::pair<int64_t, int64_t>> positions_;  // (id, position), sorted
};

}  // namespace cltrain
