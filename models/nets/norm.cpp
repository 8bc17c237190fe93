#include "models/nets/norm.h"

#include "ops/batch_norm_bfloat16.h"
#include "ops/row_range.h"

#include <algorithm>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/native_batch_norm.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

// A vector's group of one channel would be normalised to nothing, one of two to signs.
constexpr int64_t kSmallestGroup = 8;

std::vector<Norm*> norms_of(torch::nn::Module& root) {
  std::vector<Norm*> norms;
  for (const auto& module : root.modules())
    if (auto* norm = module->as<Norm>()) norms.push_back(norm);
  return norms;
}

// Where norms work in slices: from each rank's sums to the mean over the slices of all ranks, in
// one exchange.
void average_slices(const std::vector<Norm*>& norms) {
  std::vector<at::Tensor> parts;
  const Communicator* communicator = nullptr;
  for (Norm* norm : norms)
    if (norm->settings().splits > 1)
      for (const Norm::Noted& noted : norm->pending()) {
        communicator = norm->settings().communicator;
        const at::Tensor& mean = noted.sum.mean;
        parts.insert(parts.end(), {mean, noted.sum.unbiased_variance,
                                   at::full({1}, noted.slices, mean.options())});
      }
  if (parts.empty()) return;
  const at::Tensor all = at::cat(parts);
  communicator->all_reduce_sum(all);
  int64_t at = 0;
  for (Norm* norm : norms)
    if (norm->settings().splits > 1)
      for (Norm::Noted& noted : norm->pending()) {
        const int64_t channels = noted.sum.mean.size(0);
        const at::Tensor slices = all.narrow(0, at + 2 * channels, 1);
        noted.sum = {all.narrow(0, at, channels) / slices,
                     all.narrow(0, at + channels, channels) / slices};
        at += 2 * channels + 1;
      }
}

}  // namespace

bool norms_see_parts(const NormSettings& settings) {
  return settings.kind == "local" || (settings.kind == "sync" && settings.splits > 1);
}

int64_t group_count(int64_t channels, int64_t wanted) {
  int64_t groups = std::clamp<int64_t>(channels / kSmallestGroup, 1, wanted);
  while (channels % groups != 0) --groups;
  return groups;
}

Norm::Norm(int64_t channels, const NormSettings& settings, bool affine_weight, bool affine_bias)
    : settings_(settings), groups_(group_count(channels, settings.groups)) {
  if (affine_weight) weight = register_parameter("weight", at::ones({channels}));
  if (affine_bias) bias = register_parameter("bias", at::zeros({channels}));
  if (!is_batch_norm()) return;
  running_mean = register_buffer("running_mean", at::zeros({channels}));
  running_var = register_buffer("running_var", at::ones({channels}));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

at::Tensor Norm::forward(const at::Tensor& input) {
  if (trains_in_bfloat16(input)) return of_batch(input, {}, /*relu=*/false);
  // Otherwise what autocast hands over in bfloat16 is normalised, and left, in float32: embeddings
  // [N, C] go to the loss, and are small.
  const at::Tensor x = is_cpu_bfloat16(input) ? input.to(at::kFloat) : input;
  if (!is_batch_norm()) return at::group_norm(x, groups_, weight, bias, settings_.epsilon);
  if (is_training()) return of_batch(x, {}, /*relu=*/false);
  return std::get<0>(at::native_batch_norm(x, weight, bias, running_mean, running_var,
                                           /*training=*/false, 0.0, settings_.epsilon));
}

at::Tensor Norm::forward_relu(const at::Tensor& x, const at::Tensor& addend) {
  if (trains_in_bfloat16(x)) return of_batch(x, addend, /*relu=*/true);
  const at::Tensor y = forward(x);
  return at::relu(addend.defined() ? y + addend : y);
}

// Images in bfloat16 between convolutions, which would round a float32 result all the same.
bool Norm::trains_in_bfloat16(const at::Tensor& x) const {
  return is_batch_norm() && is_training() && is_cpu_bfloat16(x) && x.dim() > 2;
}

at::Tensor Norm::normalized(const at::Tensor& x, const at::Tensor& addend, bool relu,
                            const Communicator* communicator, BatchStatistics& statistics) {
  return relu ? sync_batch_norm_relu(x, addend, weight, bias, settings_.epsilon, communicator,
                                     statistics)
              : sync_batch_norm(x, weight, bias, settings_.epsilon, communicator, statistics);
}

at::Tensor Norm::of_batch(const at::Tensor& x, const at::Tensor& addend, bool relu) {
  if (settings_.splits > 1) return of_slices(x, addend, relu);
  BatchStatistics statistics;
  const Communicator* communicator = settings_.kind == "sync" ? settings_.communicator : nullptr;
  const at::Tensor y = normalized(x, addend, relu, communicator, statistics);
  // Alone with no rows there is nothing to note: zeros would pull the running variance to 0.
  if (communicator || x.numel() > 0) pending_.push_back({std::move(statistics)});
  return y;
}

void Norm::expect_rows(int64_t global_rows) {
  if (settings_.splits == 1) return;
  slices_.clear();
  const int ranks = settings_.communicator->size();
  const auto own = static_cast<int>(settings_.splits) / ranks;
  for (int slice = 0; slice < own; ++slice)
    slices_.push_back(rank_share(global_rows, settings_.communicator->rank() * own + slice,
                                 static_cast<int>(settings_.splits))
                          .count());
}

// Rows of a pass are those of each view, one view after the other; a slice takes its rows of all
// views.
at::Tensor Norm::of_slices(const at::Tensor& x, const at::Tensor& addend, bool relu) {
  const int64_t rows = std::accumulate(slices_.begin(), slices_.end(), int64_t{0});
  TORCH_CHECK(rows > 0 ? x.size(0) % rows == 0 : x.size(0) == 0, "batch norm in slices: a pass of ",
              x.size(0), " rows, announced were ", rows, " a view");
  const int64_t views = rows > 0 ? x.size(0) / rows : 1;
  const at::Tensor nothing = at::zeros({x.size(1)}, x.options().dtype(at::kDouble));
  Noted noted{{nothing, nothing.clone()}, 0};
  std::vector<std::vector<at::Tensor>> by_view(static_cast<size_t>(views));
  int64_t first = 0;
  for (const int64_t count : slices_) {
    if (count == 0 && rows > 0) continue;  // without any rows one empty slice makes the graph
    const auto slice_of = [&](const at::Tensor& whole) {
      if (views == 1 || !whole.defined())
        return whole.defined() ? whole.narrow(0, first, count) : whole;
      std::vector<at::Tensor> parts;
      for (int64_t view = 0; view < views; ++view)
        parts.push_back(whole.narrow(0, view * rows + first, count));
      return at::cat(parts);
    };
    BatchStatistics statistics;
    const at::Tensor y = normalized(slice_of(x), slice_of(addend), relu, nullptr, statistics);
    for (int64_t view = 0; view < views; ++view)
      by_view[static_cast<size_t>(view)].push_back(y.narrow(0, view * count, count));
    if (rows == 0) break;
    noted.sum.mean.add_(statistics.mean.view({-1}));
    noted.sum.unbiased_variance.add_(statistics.unbiased_variance.view({-1}));
    ++noted.slices;
    first += count;
  }
  pending_.push_back(std::move(noted));
  std::vector<at::Tensor> ordered;
  for (const auto& parts : by_view) ordered.insert(ordered.end(), parts.begin(), parts.end());
  return at::cat(ordered);
}

void Norm::apply(const BatchStatistics& batch) {
  const c10::NoGradGuard no_grad;
  running_mean.lerp_(batch.mean.to(running_mean.scalar_type()), settings_.momentum);
  running_var.lerp_(batch.unbiased_variance.to(running_var.scalar_type()), settings_.momentum);
  num_batches_tracked.add_(1);
}

void commit_statistics(torch::nn::Module& root) {
  const auto norms = norms_of(root);
  average_slices(norms);
  for (Norm* norm : norms) {
    for (const Norm::Noted& noted : norm->pending()) norm->apply(noted.sum);
    norm->discard_statistics();
  }
}

void discard_statistics(torch::nn::Module& root) {
  for (Norm* norm : norms_of(root)) norm->discard_statistics();
}

void expect_rows(torch::nn::Module& root, int64_t global_rows) {
  for (Norm* norm : norms_of(root)) norm->expect_rows(global_rows);
}

}  // namespace cltrain
