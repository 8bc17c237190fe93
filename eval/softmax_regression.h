// Loss and gradient of softmax regression on rows that one rank holds, by hand and without
// autograd: the arithmetic below the linear probe (eval/linear_probe.h).
//
// One rank, no communication. Uses the intra-op threads; their number changes no bit, because the
// gradient is cut by features, never by rows. float32; sums of losses in double.
#pragma once

#include "eval/tile_product.h"

#include <cstdint>
#include <span>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// What shapes a model has. Weights are [depth, lanes] floats, row-major: one row a feature and one
/// for the bias, one column a class; the columns from `classes` on are and stay 0.
struct SoftmaxShape {
  int64_t features, classes;
  int64_t depth() const { return features + 1; }
  int64_t lanes() const { return tile_columns(classes); }
  int64_t size() const { return depth() * lanes(); }
};

class SoftmaxRows {
 public:
  /// vectors [n, F] float32, labels [n] int64 in 0 .. classes - 1, on the CPU. Copies them.
  SoftmaxRows(const at::Tensor& vectors, const at::Tensor& labels, int64_t classes);

  const SoftmaxShape& shape() const { return shape_; }
  int64_t count() const { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t row) const { return labels_[row]; }

  /// The sum of the losses -log p(label) of `rows`; gradient [depth, lanes] becomes `scale` times
  /// its derivative. No rows: 0 and zeros.
  double gradient(const float* weights, std::span<const int64_t> rows, float scale,
                  float* gradient);
  /// The same over all rows.
  double full_gradient(const float* weights, float scale, float* gradient);
  /// Logits of the rows first .. first + count - 1: [count, lanes].
  void logits(const float* weights, int64_t first, int64_t count, float* to) const;

 private:
  double probabilities(const float* weights, const int64_t* chosen, int64_t first, int64_t count,
                       float scale);
  void accumulate(const float* vectors, int64_t count, bool add, float* gradient) const;

  SoftmaxShape shape_;
  std::vector<float> vectors_;   // [n, depth], the last column 1
  std::vector<int64_t> labels_;  // [n]
  std::vector<float> gathered_;  // [batch, depth]
  std::vector<float> errors_;    // [batch, lanes]: scale * (p - one-hot)
  std::vector<double> losses_;   // [batch]
};

}  // namespace cltrain
