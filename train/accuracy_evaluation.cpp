#include "train/accuracy_evaluation.h"

#include "eval/knn.h"

#include <chrono>

#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

using Clock = std::chrono::steady_clock;

EvaluationRecord record(const std::string& probe, const Accuracy& accuracy, int64_t left_out,
                        int64_t step, Clock::time_point started) {
  NamedValues scores{{"top1", accuracy.top1}, {"top5", accuracy.top5}};
  if (left_out > 0) scores.emplace_back("left_out", static_cast<double>(left_out));
  return {.step = step,
          .probe = probe,
          .scores = scores,
          .seconds = std::chrono::duration<double>(Clock::now() - started).count()};
}

}  // namespace

Accuracy classifier_accuracy(Method& method, const Features& test, const Communicator& control) {
  const c10::NoGradGuard no_grad;
  const at::Tensor scores = method.classify(test.vectors);  // [n, classes]
  TORCH_CHECK(scores.defined(), "this method has no classifier to measure");
  return accuracy_of_scores(scores.to(c10::kCPU), test.labels, "classifier, test set", control);
}

bool AccuracyEvaluation::possible() const {
  return parts_.options.enabled && parts_.data.test && parts_.data.train->classes() > 0;
}

std::vector<EvaluationRecord> AccuracyEvaluation::measure(Method& method, int64_t step, When when) {
  if (!possible()) return {};
  const Embed encoder = [&](const at::Tensor& images) {
    return method.embed(images.to(parts_.world.device, parts_.type));
  };
  const Embed pixels = [](const at::Tensor& images) { return images.flatten(1); };
  std::vector<EvaluationRecord> records;
  if (when == When::kStart) {
    if (!parts_.options.baselines) return {};
    records.push_back(knn("raw_pixels", pixels, step));
    records.push_back(knn("untrained_encoder", encoder, step));
    return records;
  }
  // Where there is a classifier the training set is not embedded, which costs as much as an epoch.
  records.push_back(method.classifies() ? classifier(method, encoder, step)
                                        : knn("knn", encoder, step));
  return records;
}

std::optional<double> AccuracyEvaluation::merit(
    const std::vector<EvaluationRecord>& records) const {
  for (const EvaluationRecord& record : records)
    if (record.probe == "knn" || record.probe == "classifier") return record.scores.front().second;
  return std::nullopt;
}

Features AccuracyEvaluation::features_of(const Dataset& dataset, const Embed& embed) const {
  return embed_share(dataset, parts_.views, embed,
                     {.batch = parts_.options.batch,
                      .workers = parts_.workers,
                      .rank = parts_.world.rank,
                      .size = parts_.world.size});
}

EvaluationRecord AccuracyEvaluation::classifier(Method& method, const Embed& embed,
                                                int64_t step) const {
  const auto started = Clock::now();
  const Features test = features_of(*parts_.data.test, embed);
  const Communicator& control = *parts_.communicators.control;
  const int64_t left_out = total_left_out(test, *parts_.data.test, control);
  return record("classifier", classifier_accuracy(method, test, control), left_out, step, started);
}

EvaluationRecord AccuracyEvaluation::knn(const std::string& probe, const Embed& embed,
                                         int64_t step) const {
  const auto started = Clock::now();
  const Features base = features_of(*parts_.data.train, embed);
  const Features queries = features_of(*parts_.data.test, embed);
  const Communicator& control = *parts_.communicators.control;
  const int64_t left_out = total_left_out(base, *parts_.data.train, control) +
                           total_left_out(queries, *parts_.data.test, control);
  const KnnResult result =
      knn_accuracy(base, queries, parts_.data.train->classes(), parts_.options.knn_k,
                   parts_.options.knn_temperature, control);
  return record(probe, result, left_out, step, started);
}

}  // namespace cltrain
