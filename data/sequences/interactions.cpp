#include "data/sequences/interactions.h"

#include "data/sequences/leave_one_out.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>

namespace cltrain {
namespace {

double median_of(std::vector<int64_t> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2) return static_cast<double>(*middle);
  return 0.5 * static_cast<double>(*middle + *std::max_element(values.begin(), middle));
}

}  // namespace

std::span<const int32_t> Interactions::history(int64_t user) const {
  const auto at = static_cast<size_t>(user);
  return std::span(item_ids).subspan(static_cast<size_t>(offsets[at]),
                                     static_cast<size_t>(offsets[at + 1] - offsets[at]));
}

std::string Interactions::item_name(int32_t id) const {
  if (id < 1 || id > item_count)
    throw std::out_of_range("item " + std::to_string(id) + "; allowed: 1 to " +
                            std::to_string(item_count));
  return item_names.empty() ? std::to_string(id) : item_names[static_cast<size_t>(id)];
}

InteractionStatistics statistics(const Interactions& interactions) {
  InteractionStatistics result{.users = interactions.users(),
                               .interactions = interactions.interactions()};
  if (result.users == 0) return result;
  std::vector<int64_t> lengths(static_cast<size_t>(result.users));
  for (size_t user = 0; user < lengths.size(); ++user) {
    lengths[user] = interactions.offsets[user + 1] - interactions.offsets[user];
    result.not_trained += lengths[user] < kLeastToTrain;
    result.left_out += lengths[user] < kLeastToEvaluate;
  }
  std::vector<bool> occurs(static_cast<size_t>(interactions.items()) + 1);
  for (const int32_t item : interactions.item_ids) occurs[static_cast<size_t>(item)] = true;
  result.items = std::count(occurs.begin(), occurs.end(), true);
  const auto [shortest, longest] = std::minmax_element(lengths.begin(), lengths.end());
  result.shortest = *shortest;
  result.longest = *longest;
  const auto count = static_cast<double>(result.interactions);
  result.mean = count / static_cast<double>(result.users);
  result.median = median_of(std::move(lengths));
  if (result.items > 0)
    result.density =
        count / (static_cast<double>(result.users) * static_cast<double>(result.items));
  return result;
}

std::string statistics_line(const Interactions& interactions) {
  const InteractionStatistics all = statistics(interactions);
  char averages[128];
  std::snprintf(averages, sizeof averages,
                " items a user (mean %.2f, median %g), density %.3g %%, ", all.mean, all.median,
                100 * all.density);
  std::string items = std::to_string(all.items) + " items";
  if (all.items != interactions.items())
    items += " (ids to " + std::to_string(interactions.items()) + ")";
  return std::to_string(all.users) + " users, " + items + ", " + std::to_string(all.interactions) +
         " interactions, " + std::to_string(all.shortest) + " to " + std::to_string(all.longest) +
         averages + std::to_string(all.not_trained) + " users not trained on (fewer than " +
         std::to_string(kLeastToTrain) + " items), " + std::to_string(all.left_out) +
         " of them left out (fewer than " + std::to_string(kLeastToEvaluate) + ")";
}

}  // namespace cltrain
