#include "train/knn_evaluation.h"

#include "eval/knn.h"

#include <chrono>

namespace cltrain {

bool KnnEvaluation::possible() const {
  return parts_.options.enabled && parts_.data.test && parts_.data.train->classes() > 0;
}

std::vector<EvaluationRecord> KnnEvaluation::measure(Method& method, int64_t step, When when) {
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
  records.push_back(knn("knn", encoder, step));
  return records;
}

std::optional<double> KnnEvaluation::merit(const std::vector<EvaluationRecord>& records) const {
  for (const EvaluationRecord& record : records)
    if (record.probe == "knn") return record.scores.front().second;
  return std::nullopt;
}

EvaluationRecord KnnEvaluation::knn(const std::string& probe, const Embed& embed, int64_t step) const {
  const auto started = std::chrono::steady_clock::now();
  const EmbedSettings settings{.batch = parts_.options.batch,
                               .workers = parts_.workers,
                               .rank = parts_.world.rank,
                               .size = parts_.world.size};
  const Features base = embed_share(*parts_.data.train, parts_.views, embed, settings);
  const Features queries = embed_share(*parts_.data.test, parts_.views, embed, settings);
  const Communicator& control = *parts_.communicators.control;
  const int64_t left_out = total_left_out(base, *parts_.data.train, control) +
                           total_left_out(queries, *parts_.data.test, control);
  const KnnResult result =
      knn_accuracy(base, queries, parts_.data.train->classes(), parts_.options.knn_k,
                   parts_.options.knn_temperature, control);
  NamedValues scores{{"top1", result.top1}, {"top5", result.top5}};
  if (left_out > 0) scores.emplace_back("left_out", static_cast<double>(left_out));
  return {
      .step = step,
      .probe = probe,
      .scores = scores,
      .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count()};
}

}  // namespace cltrain
