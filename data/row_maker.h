// Makes one row of every tensor of a batch: what the loader needs to know of a kind of data. Views
// of pictures and clips are made by ViewRows; other data bring a maker of their own.
//
// make() is called from the loader's threads: it may run on any number of them at once, and its
// result depends on its arguments alone. Throws BadSample where a sample cannot be used; what is in
// the outputs is then unspecified.
#pragma once

#include "data/view_maker.h"
#include "ops/keyed_random.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cltrain {

/// A tensor of the batch, [b, extents...].
struct RowField {
  std::string name;
  std::vector<int64_t> extents;
  bool integers = false;  ///< int64; else float32

  int64_t row_bytes() const {
    return values_of(extents) * static_cast<int64_t>(integers ? sizeof(int64_t) : sizeof(float));
  }
};

class RowMaker {
 public:
  explicit RowMaker(std::vector<RowField> fields) : fields_(std::move(fields)) {}
  virtual ~RowMaker() = default;

  const std::vector<RowField>& fields() const { return fields_; }
  /// Writes the sample's row of field i to outs[i], which has the alignment of its type. `key` is
  /// random_key(seed, Purpose::kAugmentation, epoch).
  virtual void make(int64_t position, PhiloxKey key, std::span<std::byte* const> outs) const = 0;

 private:
  std::vector<RowField> fields_;
};

/// "view0", "view1", ...: float32, [b, 3, S, S] of pictures, [b, 3, T, S, S] of clips.
class ViewRows : public RowMaker {
 public:
  /// The set outlives the result. Throws std::invalid_argument for options that do not fit, or for
  /// a number of views out of 1 to 16.
  ViewRows(const Dataset& dataset, const AugmentOptions& augment, int64_t views);

  void make(int64_t position, PhiloxKey key, std::span<std::byte* const> outs) const override;

 private:
  ViewRows(std::unique_ptr<ViewMaker> maker, int64_t views);

  std::unique_ptr<ViewMaker> maker_;
};

}  // namespace cltrain
