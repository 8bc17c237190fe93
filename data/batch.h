// One rank's rows of one global batch: what a Method works on.
//
// `cut` says which rows of the global batch they are (data/sampler.h): those of the rank's chunks,
// one after the other. A rank may have no rows: its tensors then have a first extent of 0. CPU
// tensors, owned by the batch.
#pragma once

#include "data/sampler.h"

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
  /// What the RowMaker of the data makes (data/row_maker.h, data/sequences/sequence_rows.h).
  std::map<std::string, at::Tensor> tensors;
  at::Tensor ids;        ///< [b] int64, Dataset::source_id: keyed draws (views, dropout) use these
  at::Tensor positions;  ///< [b] int64, 0 .. size - 1: memory banks use these
  at::Tensor labels;     ///< [b] int64; undefined when the data set has none
  int64_t step = 0, epoch = 0;
  int64_t global_rows = 0;  ///< rows of the whole global batch; the last of an epoch may be short
  std::vector<ReplacedRow> replaced;  ///< of this rank's rows; ids, labels are the replacements'
  BatchCut cut;                       ///< of the global batch; the same on every rank
};

/// The rows that `rank`, whose batch this is, has in one chunk: views of the batch's tensors, not
/// copies. `step`, `epoch` and `global_rows` stay those of the whole batch, `cut` holds this chunk
/// alone, `replaced` is left out.
Batch chunk_of(const Batch& batch, int64_t chunk, int rank);

}  // namespace cltrain
