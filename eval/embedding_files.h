// Embeddings of a data set on disk, for other programs and for the search of neighbours. Beside
// each other, for the stem "emb":
//   emb.npy         [N, F] float32, one row a sample, in order of position
//   emb.ids.npy     [N] int64, Dataset::source_id
//   emb.labels.npy  [N] int64, -1 where there is none
//   emb.json        the manifest: what was embedded by what, and the SHA-256 of each file
// Each file is written durably and the manifest last; an old manifest goes first, with the indexes
// of what it described. So a manifest
// that is there describes files that are whole.
//
// write_embeddings is collective, and rank 0 writes; the rest is called by one rank alone. Writing
// throws IoError, reading DataError; both name the file.
#pragma once

#include "dist/communicator.h"
#include "eval/features.h"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace cltrain {

/// What the numbers mean. The caller fills it in.
struct EmbeddingSource {
  std::string run;             ///< run directory, or the file of weights
  int64_t step = -1;           ///< of the checkpoint; -1 where there is none
  std::string weights_sha256;  ///< of the encoder's state
  std::string data_set;        ///< Dataset::describe()
  std::string split;           ///< "train" or "test"
  std::string transform;       ///< how an image became a tensor, for people
  bool normalized = false;     ///< rows have unit length
};

struct EmbeddingManifest {
  EmbeddingSource source;
  int64_t rows = 0, width = 0;
  int64_t left_out = 0;                      ///< samples that could not be used
  std::map<std::string, std::string> files;  ///< name -> SHA-256
};

struct EmbeddingPaths {
  std::filesystem::path vectors, ids, labels, manifest;
};

/// stem: "folder/emb" or "folder/emb.npy".
EmbeddingPaths embedding_paths(const std::filesystem::path& stem);

/// Collective: `share` holds this rank's rows (with ids), which go out in rank order. The files do
/// not depend on the number of ranks. At most 16 MiB travel at once. Every rank returns when the
/// files are there. source.normalized: rows are brought to unit length before they are written.
EmbeddingManifest write_embeddings(const Features& share, const EmbeddingSource& source,
                                   const std::filesystem::path& stem,
                                   const Communicator& communicator);

/// Reads the manifest and, with `verify`, compares the checksums of the files it names.
EmbeddingManifest read_embedding_manifest(const std::filesystem::path& stem, bool verify = true);

}  // namespace cltrain
