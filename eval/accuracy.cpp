#include "eval/accuracy.h"

#include <limits>

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

namespace cltrain {

AccuracyTally::AccuracyTally(int64_t classes)
    : seen_(static_cast<size_t>(classes)), right_(static_cast<size_t>(classes)) {}

Accuracy AccuracyTally::total(const Communicator& communicator) const {
  const auto classes = static_cast<int64_t>(seen_.size());
  at::Tensor counts = at::empty({2 * classes + 1}, at::kLong);
  auto* to = counts.mutable_data_ptr<int64_t>();
  for (int64_t label = 0; label < classes; ++label) {
    to[label] = seen_[label];
    to[classes + label] = right_[label];
  }
  to[2 * classes] = top5_;
  communicator.all_reduce_sum(counts);
  Accuracy result;
  int64_t right = 0;
  for (int64_t label = 0; label < classes; ++label) {
    if (to[label] == 0) continue;
    result.queries += to[label];
    right += to[classes + label];
    result.classes.push_back(
        {label, to[label],
         static_cast<double>(to[classes + label]) / static_cast<double>(to[label])});
  }
  if (result.queries == 0) return result;
  result.top1 = static_cast<double>(right) / static_cast<double>(result.queries);
  result.top5 = static_cast<double>(to[2 * classes]) / static_cast<double>(result.queries);
  return result;
}

Accuracy accuracy_of_scores(const at::Tensor& scores, const at::Tensor& labels, const char* what,
                            const Communicator& communicator) {
  const int64_t classes = scores.size(1);
  check_labels(labels, classes, what);
  const at::Tensor rows = scores.to(at::kDouble).contiguous();
  AccuracyTally tally(classes);
  for (int64_t row = 0; row < rows.size(0); ++row)
    tally.add(rows.const_data_ptr<double>() + row * classes, labels.const_data_ptr<int64_t>()[row],
              std::numeric_limits<double>::lowest());
  return tally.total(communicator);
}

void check_labels(const at::Tensor& labels, int64_t classes, const char* what) {
  if (labels.numel() == 0) return;
  const auto low = labels.min().item<int64_t>(), high = labels.max().item<int64_t>();
  TORCH_CHECK(low >= 0 && high < classes, what, ": labels range from ", low, " to ", high,
              "; allowed: 0 to ", classes - 1);
}

}  // namespace cltrain
