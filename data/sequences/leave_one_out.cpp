#include "data/sequences/leave_one_out.h"

#include <algorithm>

namespace cltrain {
namespace {

std::vector<int64_t> users_of_length(const Interactions& interactions, int64_t least) {
  std::vector<int64_t> users;
  for (int64_t user = 0; user < interactions.users(); ++user)
    if (static_cast<int64_t>(interactions.history(user).size()) >= least) users.push_back(user);
  return users;
}

}  // namespace

std::vector<int64_t> trained_users(const Interactions& interactions) {
  return users_of_length(interactions, kLeastToTrain);
}

std::vector<int64_t> evaluated_users(const Interactions& interactions) {
  return users_of_length(interactions, kLeastToEvaluate);
}

void write_window(std::span<const int32_t> items, int64_t length, int64_t* out) {
  const size_t kept = std::min(items.size(), static_cast<size_t>(length));
  const auto padding = static_cast<int64_t>(length) - static_cast<int64_t>(kept);
  std::fill_n(out, padding, int64_t{0});
  std::ranges::copy(items.last(kept), out + padding);
}

}  // namespace cltrain
