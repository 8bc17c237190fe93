#include "train/health.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/stack.h>
#include <unistd.h>

namespace cltrain {
namespace {

/// log mean exp(-2 |x - y|^2) over the ordered pairs of different rows of one view, [n, D].
double uniformity(const at::Tensor& view) {
  const int64_t n = view.size(0);
  // |x - y|^2 = 2 - 2 x.y on the sphere.
  const at::Tensor kernel = (view.mm(view.t()) * 4 - 4).exp();
  const double off_diagonal = (kernel.sum() - kernel.trace()).item<double>();
  return std::log(off_diagonal / static_cast<double>(n * (n - 1)));
}

/// Mean over all rows of all views of the largest cosine with a view of another row.
double hardest_negative(const std::vector<at::Tensor>& views) {
  const int64_t n = views.front().size(0);
  const at::Tensor all = at::cat(views);
  at::Tensor similarity = all.mm(all.t());
  for (size_t a = 0; a < views.size(); ++a)
    for (size_t b = 0; b < views.size(); ++b)
      similarity.narrow(0, static_cast<int64_t>(a) * n, n)
          .narrow(1, static_cast<int64_t>(b) * n, n)
          .fill_diagonal_(-2);
  return similarity.amax({1}).mean().item<double>();
}

}  // namespace

NamedValues similarity_measures(const std::vector<at::Tensor>& views, const BatchCut& cut,
                                const Communicator& control) {
  const std::vector<int64_t> counts = cut.rank_rows(kHealthRows);
  const int64_t n = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (views.size() < 2 || n < 2) return {};
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> whole;
  for (const at::Tensor& view : views)
    whole.push_back(control.all_gather(
        view.narrow(0, 0, counts[static_cast<size_t>(control.rank())]).to(at::kCPU, at::kDouble),
        counts));
  const at::Tensor all = at::cat(whole);
  double spread = 0;
  for (const at::Tensor& view : whole) spread += uniformity(view);
  const at::Tensor difference = whole[0] - whole[1];
  return {{"embedding_std", all.std(0, /*unbiased=*/false).mean().item<double>()},
          {"alignment", difference.square().sum(1).mean().item<double>()},
          {"uniformity", spread / static_cast<double>(whole.size())},
          {"positive_similarity", (whole[0] * whole[1]).sum(1).mean().item<double>()},
          {"hardest_negative_similarity", hardest_negative(whole)}};
}

// What was moved before this meter is not its own.
WorkMeter::WorkMeter(const Communicators& communicators) : communicators_(communicators) {
  take_busy_seconds();
  take_bytes();
}

double WorkMeter::take_busy_seconds() {
  double blocked = 0;
  for (const auto* group :
       {communicators_.gradients.get(), communicators_.loss.get(), communicators_.control.get()})
    for (const Traffic& traffic : group->traffic()) blocked += traffic.seconds;
  const auto now = std::chrono::steady_clock::now();
  const double passed = std::chrono::duration<double>(now - since_).count();
  const double busy = passed - (blocked - blocked_);
  since_ = now;
  blocked_ = blocked;
  return busy;
}

NamedValues WorkMeter::take_bytes() {
  NamedValues result;
  for (size_t i = 0; i < kCollectives.size(); ++i) {
    int64_t total = 0;
    for (const auto* group :
         {communicators_.gradients.get(), communicators_.loss.get(), communicators_.control.get()})
      total += group->traffic()[i].bytes;
    result.emplace_back(kCollectives[i], static_cast<double>(total - bytes_[i]));
    bytes_[i] = total;
  }
  return result;
}

int64_t resident_bytes() {
  // /proc/self/statm: total and resident size, in pages.
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

double norm_of(const std::vector<at::Tensor>& tensors) {
  if (tensors.empty()) return 0;
  return at::stack(at::_foreach_norm(tensors)).norm().item<double>();
}

}  // namespace cltrain
