// Trainer, the part that refuses a step whose loss or gradient is not finite. The loop is in
// trainer.cpp.
#include "models/nets/layers.h"
#include "train/files.h"
#include "train/summary.h"
#include "train/trainer.h"

#include <cmath>

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

namespace cltrain {

// The phase made no update and the norms forget the batch. Its ids are written so that it can be
// looked at, then the run goes on or ends, as train.max_skipped_steps says.
void Trainer::refuse(const Batch& batch, double loss, const std::vector<at::Tensor>& embeddings,
                     const std::vector<std::string>& updated) {
  discard_statistics(parts_.method);
  const int64_t allowed = parts_.options.train.max_skipped_steps;
  const int64_t skipped = ++counters_["skipped_steps"];
  const std::string file = "nonfinite-step-" + std::to_string(counters_["step"]) + ".json";
  const at::Tensor ids = global_ids(batch);
  const at::Tensor bad = ids.masked_select(rows_not_finite(batch, embeddings));
  if (parts_.world.rank == 0) {
    try {
      replace_file_durably(parts_.run_dir / file,
                           nonfinite_report(counters_["step"], loss, ids, bad));
    } catch (const IoError& error) {
      parts_.sinks.write_failure(std::string("WARNING: ") + error.what());
    }
  }
  const std::string value = std::isnan(loss) ? "nan" : std::to_string(loss);
  const std::string whose =
      bad.numel() == 0 ? ""
                       : "; so are the embeddings of " + std::to_string(bad.numel()) + " of " +
                             std::to_string(ids.numel()) + " samples, the first is id " +
                             std::to_string(bad[0].item<int64_t>());
  std::string no_update = "no update was made";
  for (const std::string& phase : updated)
    no_update += (&phase == &updated.front() ? " but that of phase " : ", ") + phase;
  const std::string what = "step " + std::to_string(counters_["step"]) +
                           ": the loss or a gradient is not finite (loss " + value + whose + "); " +
                           no_update + "; the ids of its batch are in " +
                           (parts_.run_dir / file).string();
  if (skipped > allowed)
    throw NonFinite(what + ". " + std::to_string(skipped) + " step(s) refused, allowed are " +
                    std::to_string(allowed) +
                    ": lower optim.lr, look at the data, or let more be skipped with "
                    "train.max_skipped_steps=" +
                    std::to_string(skipped));
  parts_.sinks.message(what + ". Skipped (" + std::to_string(skipped) + " of at most " +
                       std::to_string(allowed) + ")");
}

// One spoilt image, or all of a batch that one of them spoilt through batch norm.
at::Tensor Trainer::rows_not_finite(const Batch& batch,
                                    const std::vector<at::Tensor>& embeddings) const {
  at::Tensor bad = at::zeros({batch.ids.size(0)}, at::kByte);
  for (const at::Tensor& view : embeddings)
    bad.bitwise_or_(view.isfinite().all(1).logical_not().to(at::kCPU).to(at::kByte));
  return in_global_order(batch, bad).to(at::kBool);
}

}  // namespace cltrain
