// Makes the views of the samples of one data set: what the loader, evaluation and `cltrain views`
// need to know of pictures and of clips alike. Dataset::views() gives the one that fits a set.
//
// Called from the threads of the loader and of evaluation: every const function may run on any
// number of threads at once, and its result depends on its arguments alone. Positions lie within
// the set. Throws BadSample where a sample cannot be used; what is in the outputs is then
// unspecified.
#pragma once

#include "data/dataset.h"
#include "ops/keyed_random.h"

#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace cltrain {

/// Extents of one view: [3, S, S] of a picture, [3, T, S, S] of a clip of T frames.
using ViewShape = std::vector<int64_t>;

inline int64_t values_of(const ViewShape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

class ViewMaker {
 public:
  explicit ViewMaker(ViewShape shape) : shape_(std::move(shape)), values_(values_of(shape_)) {}
  virtual ~ViewMaker() = default;

  const ViewShape& shape() const { return shape_; }
  int64_t values() const { return values_; }  ///< floats of one view

  /// Writes view i of the sample to outs[i], normalised; at most 16 views. `key` is
  /// random_key(seed, Purpose::kAugmentation, epoch).
  virtual void make(int64_t position, PhiloxKey key, std::span<float* const> outs) const = 0;

  /// Views without augmentation that evaluation looks at, of every sample: the features of a sample
  /// are the mean of theirs.
  virtual int64_t plain_views() const { return 1; }
  /// Writes them, [plain_views(), shape...], normalised.
  virtual void make_plain(int64_t position, float* out) const = 0;

  /// The pictures that make() takes its views from, unchanged, for people to look at: one, or a
  /// picture for each frame of the clip.
  virtual std::vector<Image> originals(int64_t position, PhiloxKey key) const = 0;

 private:
  const ViewShape shape_;
  const int64_t values_;
};

}  // namespace cltrain
