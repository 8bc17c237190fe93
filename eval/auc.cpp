#include "eval/auc.h"

#include <limits>

#include <ATen/TensorOperators.h>
#include <c10/util/Exception.h>

namespace cltrain {

AucResult area_under_curve(const at::Tensor& scores, const at::Tensor& labels,
                           const Communicator& control) {
  TORCH_CHECK(scores.dim() == 1 && scores.sizes() == labels.sizes(), "scores ", scores.sizes(),
              " and labels ", labels.sizes(), " of rows; allowed: both [n]");
  const std::vector<int64_t> rows = control.all_gather_count(scores.size(0));
  const at::Tensor all =
      control.all_gather(scores.detach().to(at::kCPU, at::kDouble).contiguous(), rows);
  const at::Tensor positive =
      control.all_gather((labels.detach() > 0.5).to(at::kCPU, at::kByte).contiguous(), rows);
  TORCH_CHECK(all.isfinite().all().item<bool>(),
              "a score is not finite: the weights have diverged; lower optim.lr");
  const auto [sorted, order] = all.sort();
  const double* score = sorted.const_data_ptr<double>();
  const int64_t* at = order.const_data_ptr<int64_t>();
  const uint8_t* is_positive = positive.const_data_ptr<uint8_t>();
  const int64_t count = all.size(0);
  AucResult result;
  // Twice the number of pairs in the right order, in whole numbers: ties count one.
  int64_t twice_right = 0;
  for (int64_t begin = 0; begin < count;) {
    int64_t end = begin, positives = 0;
    for (; end < count && score[end] == score[begin]; ++end) positives += is_positive[at[end]];
    const int64_t negatives = end - begin - positives;
    twice_right += positives * (2 * result.negatives + negatives);
    result.positives += positives;
    result.negatives += negatives;
    begin = end;
  }
  const double pairs =
      static_cast<double>(result.positives) * static_cast<double>(result.negatives);
  result.auc = pairs == 0 ? std::numeric_limits<double>::quiet_NaN()
                          : static_cast<double>(twice_right) / (2 * pairs);
  return result;
}

}  // namespace cltrain
