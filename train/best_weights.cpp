#include "train/best_weights.h"

#include <limits>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

namespace cltrain {
namespace {

void copy_all(const std::vector<StateTensor>& from, const std::vector<StateTensor>& to) {
  const c10::NoGradGuard no_grad;
  for (size_t i = 0; i < from.size(); ++i) {
    const at::Tensor target = to[i].tensor.detach();
    target.copy_(from[i].tensor.detach());
  }
}

}  // namespace

bool any_best(const at::Tensor& counts) {
  return counts[0].item<int64_t>() >= 0;
}

BestWeights::BestWeights(const Method& method, int64_t patience)
    : patience_(patience),
      merit_(at::full({1}, -std::numeric_limits<double>::infinity(), at::kDouble)),
      counts_(at::tensor({-1, 0, -1}, at::kLong)) {
  if (!kept()) return;
  for (const StateTensor& live : model_state(method))
    copies_.push_back({"best." + live.name, live.tensor.detach().clone(), live.rows});
}

std::vector<StateTensor> BestWeights::state() const {
  if (!kept()) return {};
  std::vector<StateTensor> all = copies_;
  all.push_back({"best.merit", merit_, {}});
  all.push_back({kBestCounts, counts_, {}});
  return all;
}

void BestWeights::note(const Method& method, double merit, int64_t step) {
  auto* counts = counts_.mutable_data_ptr<int64_t>();
  if (step <= counts[2]) return;
  counts[2] = step;
  ++counts[1];
  if (!(merit > *merit_.const_data_ptr<double>())) return;
  *merit_.mutable_data_ptr<double>() = merit;
  counts[0] = step;
  counts[1] = 0;
  copy_all(model_state(method), copies_);
}

bool BestWeights::give_up() const {
  return kept() && counts_.const_data_ptr<int64_t>()[1] >= patience_;
}

int64_t BestWeights::step() const {
  return counts_.const_data_ptr<int64_t>()[0];
}

void BestWeights::restore(const Method& method) const {
  if (kept() && step() >= 0) copy_all(copies_, model_state(method));
}

}  // namespace cltrain
