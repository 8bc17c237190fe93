// One rank's rows of one global batch: what a Method's loss gets.
//
// Rank-major concatenation over the ranks is the global batch in order (data/sampler.h). A rank may
// have no rows: its tensors then have a first extent of 0. CPU tensors, owned by the batch.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// A row whose sample cannot be used: the loader put another in its place.
struct ReplacedRow {
  int64_t bad_id = 0, replacement_id = 0;  ///< Dataset::source_id
  std::string kind;                        ///< of BadSample
  std::string message;
};

struct Batch {
  std::map<std::string, at::Tensor> tensors;  ///< "view0", "view1", ...: [b, 3, S, S] float32
  at::Tensor ids;        ///< [b] int64, Dataset::source_id: keyed draws (views, dropout) use these
  at::Tensor positions;  ///< [b] int64, 0 .. size - 1: memory banks use these
  at::Tensor labels;     ///< [b] int64; undefined when the data set has none
  int64_t step = 0, epoch = 0;
  int64_t global_rows = 0;  ///< rows of the whole global batch; the last of an epoch may be short
  std::vector<ReplacedRow> replaced;  ///< of this rank's rows; ids, labels are the replacements'
  int64_t first_row = 0;              ///< place of this rank's first row in the global batch
};

}  // namespace cltrain
