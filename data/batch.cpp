#include "data/batch.h"

namespace cltrain {

Batch chunk_of(const Batch& batch, int64_t chunk, int rank) {
  const auto rows_in = [&](int64_t which) {
    return batch.cut.share.at(static_cast<size_t>(which)).at(static_cast<size_t>(rank)).count();
  };
  int64_t first = 0;
  for (int64_t before = 0; before < chunk; ++before) first += rows_in(before);
  const auto rows_of = [first, count = rows_in(chunk)](const at::Tensor& tensor) {
    return tensor.defined() ? tensor.narrow(0, first, count) : tensor;
  };
  Batch part;
  for (const auto& [name, tensor] : batch.tensors) part.tensors.emplace(name, rows_of(tensor));
  part.ids = rows_of(batch.ids);
  part.positions = rows_of(batch.positions);
  part.labels = rows_of(batch.labels);
  part.step = batch.step;
  part.epoch = batch.epoch;
  part.global_rows = batch.global_rows;
  part.cut.share = {batch.cut.share[static_cast<size_t>(chunk)]};
  return part;
}

}  // namespace cltrain
