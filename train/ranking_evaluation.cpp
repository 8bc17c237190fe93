#include "train/ranking_evaluation.h"

#include "data/sampler.h"
#include "data/sequences/leave_one_out.h"
#include "models/methods/sequence_recommender.h"
#include "ops/keyed_random.h"

#include <chrono>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

HeldOut held_out(std::span<const int32_t> items, HeldOutPart part) {
  return part == HeldOutPart::kTest ? test_part(items) : validation_part(items);
}

/// What eval/ranking.h wants to know of some users, but for their representations; and the windows
/// that these are made from.
struct RankedUsers {
  RankingQueries queries;
  at::Tensor windows;  ///< [n, L] int64
};

RankedUsers ranked_users(const Interactions& all, std::span<const int64_t> users, HeldOutPart part,
                         int64_t window) {
  const auto rows = static_cast<int64_t>(users.size());
  RankedUsers ranked;
  ranked.windows = at::empty({rows, window}, at::kLong);
  ranked.queries.answers = at::empty({rows}, at::kLong);
  ranked.queries.users = at::empty({rows}, at::kLong);
  at::Tensor offsets = at::zeros({rows + 1}, at::kLong);
  std::vector<int32_t> seen;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t user = users[static_cast<size_t>(row)];
    const HeldOut held = held_out(all.history(user), part);
    write_window(held.history, window, ranked.windows.mutable_data_ptr<int64_t>() + row * window);
    ranked.queries.answers.mutable_data_ptr<int64_t>()[row] = held.answer;
    ranked.queries.users.mutable_data_ptr<int64_t>()[row] = user;
    seen.insert(seen.end(), held.history.begin(), held.history.end());
    offsets.mutable_data_ptr<int64_t>()[row + 1] = static_cast<int64_t>(seen.size());
  }
  at::Tensor ids = at::empty({static_cast<int64_t>(seen.size())}, at::kInt);
  std::copy(seen.begin(), seen.end(), ids.mutable_data_ptr<int32_t>());
  ranked.queries.history = {offsets, ids};
  return ranked;
}

/// Inputs and targets: all but each user's last two items.
at::Tensor counts_in_training(const Interactions& all) {
  at::Tensor counts = at::zeros({all.items() + 2}, at::kLong);
  for (int64_t user = 0; user < all.users(); ++user)
    for (const int32_t item : without_last(all.history(user), 2))
      ++counts.mutable_data_ptr<int64_t>()[item];
  return counts;
}

std::vector<int64_t> share_of(std::vector<int64_t> users, const World& world) {
  const RowRange share = rank_share(static_cast<int64_t>(users.size()), world.rank, world.size);
  return {users.begin() + share.begin, users.begin() + share.end};
}

const SequenceRecommender& recommender_of(const Method& method) {
  const auto* recommender = dynamic_cast<const SequenceRecommender*>(&method);
  TORCH_CHECK(recommender != nullptr, "this method recommends nothing: it has no table of items");
  return *recommender;
}

}  // namespace

std::string ranking_protocol(const EvalOptions& options) {
  const std::string seen = options.history == "zero"      ? "what the user has seen scores 0"
                           : options.history == "exclude" ? "without what the user has seen"
                                                          : "what the user has seen included";
  if (options.sampled > 0)
    return "rank of each user's last item among " + std::to_string(options.sampled) +
           " drawn ones (" + options.sampled_by + "): not comparable with full ranking";
  return "rank of each user's last item among " +
         std::string(options.candidates == "items" ? "all items"
                                                   : "all ids, two of them no items") +
         ", " + seen;
}

RankingEvaluation::RankingEvaluation(RankingEvaluationParts parts)
    : Evaluation(parts.options),
      parts_(parts),
      users_(share_of(evaluated_users(parts.interactions), parts.world)),
      training_counts_(counts_in_training(parts.interactions)) {}

RankingResult RankingEvaluation::rank(const at::Tensor& table, const Represent& represent,
                                      HeldOutPart part) const {
  const c10::NoGradGuard no_grad;
  std::shared_ptr<const NegativeSampler> negatives;
  if (options_.sampled > 0)
    negatives = std::make_shared<const NegativeSampler>(
        parts_.interactions.items(), options_.sampled,
        random_key(parts_.seed, Purpose::kSampledRanking, 0),
        options_.sampled_by == "popularity" ? training_counts_ : at::Tensor());
  const ItemRanking ranking(
      table.detach(), {.history = options_.history, .candidates = options_.candidates}, negatives);
  RankingTally tally = ranking.tally();
  const auto users = static_cast<int64_t>(users_.size());
  for (int64_t begin = 0; begin < users; begin += options_.batch) {
    const int64_t count = std::min(options_.batch, users - begin);
    RankedUsers batch = ranked_users(
        parts_.interactions,
        std::span(users_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)), part,
        parts_.window);
    batch.queries.representations = represent(batch.windows);
    tally.add(ranking.rank(batch.queries));
  }
  return tally.total(*parts_.communicators.control);
}

RankingResult RankingEvaluation::rank(Method& method, HeldOutPart part) const {
  const at::Tensor table = recommender_of(method).item_table();
  return rank(
      table,
      [&](const at::Tensor& windows) {
        return method.embed(windows.to(table.device())).to(table.scalar_type());
      },
      part);
}

RankingResult RankingEvaluation::rank_by_popularity(HeldOutPart part) const {
  return rank(
      popularity_table(training_counts_),
      [](const at::Tensor& windows) {
        return at::ones({windows.size(0), 1}, at::kFloat);
      },
      part);
}

std::vector<EvaluationRecord> RankingEvaluation::measure(Method& method, int64_t step, When when) {
  if (!possible()) return {};
  std::vector<EvaluationRecord> records;
  const auto add = [&](const std::string& probe, const std::function<RankingResult()>& measured) {
    const auto started = std::chrono::steady_clock::now();
    const RankingResult result = measured();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
    records.push_back(
        {.step = step, .probe = probe, .scores = named_values(result), .seconds = took.count()});
  };
  switch (when) {
    case When::kStart:
      if (!options_.baselines) break;
      add("popularity", [&] { return rank_by_popularity(HeldOutPart::kTest); });
      add("untrained", [&] { return rank(method, HeldOutPart::kTest); });
      break;
    case When::kDuring:
      add("validation", [&] { return rank(method, HeldOutPart::kValidation); });
      break;
    case When::kEnd:
      add("test", [&] { return rank(method, HeldOutPart::kTest); });
      break;
  }
  return records;
}

std::optional<double> RankingEvaluation::merit(const std::vector<EvaluationRecord>& records) const {
  for (const EvaluationRecord& record : records)
    for (const auto& [name, value] : record.scores)
      if (record.probe == "validation" && name.ends_with("NDCG@20")) return value;
  return std::nullopt;
}

}  // namespace cltrain
