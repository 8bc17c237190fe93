#include "data/frame_times.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace cltrain {
namespace {

// Ticks times frames may take more than 64 bits.
__extension__ using Wide = __int128;

}  // namespace

FrameTimes::FrameTimes(std::vector<int64_t> times) : times_(std::move(times)) {
  if (times_.empty()) throw std::invalid_argument("FrameTimes: no frames");
  std::sort(times_.begin(), times_.end());
  times_.erase(std::unique(times_.begin(), times_.end()), times_.end());
}

int64_t FrameTimes::shown_in(int64_t slot) const {
  if (slot < 0 || slot >= count())
    throw std::out_of_range("slot " + std::to_string(slot) + " of " + std::to_string(count()));
  if (count() == 1) return times_.front();
  // A frame's time is rounded to slots: it is shown from half a slot before on.
  //   (time - first) * (count - 1) / (last - first) < slot + 1/2
  const Wide length = times_.back() - times_.front(), periods = count() - 1;
  const auto later = std::partition_point(times_.begin(), times_.end(), [&](int64_t time) {
    return 2 * Wide{time - times_.front()} * periods < Wide{2 * slot + 1} * length;
  });
  return *std::prev(later);
}

std::vector<int64_t> spread_starts(int64_t starts, int64_t clips) {
  std::vector<int64_t> result;
  const int64_t last = starts - 1;
  if (clips == 1) return {last / 2};
  for (int64_t clip = 0; clip < clips; ++clip)
    result.push_back((2 * last * clip + clips - 1) / (2 * (clips - 1)));
  return result;
}

}  // namespace cltrain
