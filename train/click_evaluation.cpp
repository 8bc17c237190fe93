#include "train/click_evaluation.h"

#include "data/sampler.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

namespace cltrain {
namespace {

at::Tensor clicks_of(const ClickSet& set, const RowRange& rows) {
  at::Tensor clicks = at::empty({rows.count()}, at::kFloat);
  for (int64_t i = 0; i < rows.count(); ++i)
    clicks.mutable_data_ptr<float>()[i] =
        set.table().click(set.source_id(rows.begin + i)) ? 1.0f : 0.0f;
  return clicks;
}

at::Tensor features_of(const ClickSet& set, int64_t begin, int64_t end) {
  at::Tensor features = at::empty({end - begin, set.columns().width()}, at::kLong);
  for (int64_t i = begin; i < end; ++i)
    set.table().write(set.source_id(i),
                      features.mutable_data_ptr<int64_t>() + (i - begin) * set.columns().width());
  return features;
}

}  // namespace

AucResult ClickEvaluation::auc(Method& method) const {
  const c10::NoGradGuard no_grad;
  const ClickSet& test = *parts_.data.test;
  const RowRange share = rank_share(test.size(), parts_.world.rank, parts_.world.size);
  std::vector<at::Tensor> scores{at::empty({0}, at::kDouble)};
  for (int64_t begin = share.begin; begin < share.end; begin += options_.batch) {
    const at::Tensor rows = features_of(test, begin, std::min(begin + options_.batch, share.end));
    const at::Tensor logits = method.classify(method.embed(rows.to(parts_.world.device)));
    scores.push_back(logits.squeeze(1).to(at::kCPU, at::kDouble));
  }
  return area_under_curve(at::cat(scores), clicks_of(test, share), *parts_.communicators.control);
}

AucResult ClickEvaluation::auc_of_rule() const {
  const ClickSet& test = *parts_.data.test;
  const RowRange share = rank_share(test.size(), parts_.world.rank, parts_.world.size);
  at::Tensor chances = at::empty({share.count()}, at::kDouble);
  std::copy_n(parts_.data.rule.begin() + share.begin, share.count(),
              chances.mutable_data_ptr<double>());
  return area_under_curve(chances, clicks_of(test, share), *parts_.communicators.control);
}

std::vector<EvaluationRecord> ClickEvaluation::measure(Method& method, int64_t step, When when) {
  if (!possible()) return {};
  std::vector<EvaluationRecord> records;
  const auto add = [&](const std::string& probe, const std::function<AucResult()>& measured) {
    const auto started = std::chrono::steady_clock::now();
    const AucResult result = measured();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
    records.push_back(
        {.step = step, .probe = probe, .scores = {{"AUC", result.auc}}, .seconds = took.count()});
  };
  if (when != When::kStart) {
    add("clicks", [&] { return auc(method); });
    return records;
  }
  if (!options_.baselines) return {};
  if (!parts_.data.rule.empty()) add("rule", [&] { return auc_of_rule(); });
  add("untrained_model", [&] { return auc(method); });
  return records;
}

std::optional<double> ClickEvaluation::merit(const std::vector<EvaluationRecord>& records) const {
  for (const EvaluationRecord& record : records)
    if (record.probe == "clicks") return record.scores.front().second;
  return std::nullopt;
}

}  // namespace cltrain
