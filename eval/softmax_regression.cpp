#include "eval/softmax_regression.h"

#include "ops/simd.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

constexpr int64_t kRows = 8;      // rows of a tile, the smallest piece of work
constexpr int64_t kBlock = 1024;  // rows of full_gradient at once

// Pieces of work a thread takes at least: waking others for less costs more than it saves.
int64_t grain_of(int64_t multiply_adds) {
  return std::max<int64_t>(1, 65536 / std::max<int64_t>(1, multiply_adds));
}

// value[i] = exp(value[i] - top), to two units in the last place; returns nothing, so that the
// loop has no order to keep. libm's exp is not vectorised without -ffast-math. Below -87 the result
// is the smallest normal number rather than 0.
CLTRAIN_SIMD void exp_below(float* value, int64_t count, float top) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    float x = value[i] - top;
    x = x < -87.0f ? -87.0f : x;
    const float shifted = x * 1.44269504f + 12582912.0f;  // the sum rounds to a whole number
    const float whole = shifted - 12582912.0f;
    const float r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const uint32_t power = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
    value[i] = p * std::bit_cast<float>(power);
  }
}

CLTRAIN_SIMD float sum_of(const float* value, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += value[i];
  return sum;
}

CLTRAIN_SIMD void scale_by(float* value, int64_t count, float factor) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) value[i] *= factor;
}

// logit [lanes] becomes scale * (p - one-hot); returns -log p(label).
double softmax_error(float* logit, const SoftmaxShape& shape, int64_t label, float scale) {
  const float top = *std::max_element(logit, logit + shape.classes);
  const float own = logit[label];
  exp_below(logit, shape.classes, top);
  const float sum = sum_of(logit, shape.classes);
  scale_by(logit, shape.classes, scale / sum);
  logit[label] -= scale;
  std::fill(logit + shape.classes, logit + shape.lanes(), 0.0f);
  return std::log(static_cast<double>(sum)) + static_cast<double>(top) - static_cast<double>(own);
}

}  // namespace

SoftmaxRows::SoftmaxRows(const at::Tensor& vectors, const at::Tensor& labels, int64_t classes)
    : shape_{vectors.size(1), classes} {
  TORCH_CHECK(vectors.dim() == 2 && labels.dim() == 1 && vectors.size(0) == labels.size(0) &&
                  vectors.scalar_type() == at::kFloat && labels.scalar_type() == at::kLong,
              "softmax regression: vectors [n, F] float32 and labels [n] int64; received ",
              vectors.sizes(), " ", vectors.scalar_type(), " and ", labels.sizes(), " ",
              labels.scalar_type());
  const at::Tensor rows = vectors.contiguous(), known = labels.contiguous();
  labels_.assign(known.const_data_ptr<int64_t>(), known.const_data_ptr<int64_t>() + known.numel());
  vectors_.resize(static_cast<size_t>(count() * shape_.depth()));
  const float* from = rows.const_data_ptr<float>();
  for (int64_t row = 0; row < count(); ++row) {
    float* to = vectors_.data() + row * shape_.depth();
    std::copy_n(from + row * shape_.features, shape_.features, to);
    to[shape_.features] = 1.0f;
  }
}

void SoftmaxRows::logits(const float* weights, int64_t first, int64_t count, float* to) const {
  tile_product({vectors_.data() + first * shape_.depth(), shape_.depth(), 1}, count, weights,
               shape_.lanes(), shape_.lanes(), shape_.depth(), to, shape_.lanes());
}

// errors_ of the rows chosen[0 .. count - 1], which are copied to gathered_ on the way, or without
// a choice of first .. first + count - 1; the sum of their losses, in order whatever the threads.
double SoftmaxRows::probabilities(const float* weights, const int64_t* chosen, int64_t first,
                                  int64_t count, float scale) {
  const int64_t depth = shape_.depth(), lanes = shape_.lanes();
  errors_.resize(static_cast<size_t>(count * lanes));
  losses_.resize(static_cast<size_t>(count));
  const int64_t grain = grain_of(kRows * depth * lanes);
  at::parallel_for(0, (count + kRows - 1) / kRows, grain, [&](int64_t begin, int64_t end) {
    begin *= kRows;
    end = std::min(end * kRows, count);
    float* errors = errors_.data() + begin * lanes;
    const float* vectors = (chosen ? gathered_.data() : vectors_.data() + first * depth);
    for (int64_t row = begin; chosen && row < end; ++row)
      std::copy_n(vectors_.data() + chosen[row] * depth, depth, gathered_.data() + row * depth);
    tile_product({vectors + begin * depth, depth, 1}, end - begin, weights, lanes, lanes, depth,
                 errors, lanes);
    for (int64_t row = begin; row < end; ++row, errors += lanes)
      losses_[row] =
          softmax_error(errors, shape_, labels_[chosen ? chosen[row] : first + row], scale);
  });
  double sum = 0;
  for (const double loss : losses_) sum += loss;
  return sum;
}

void SoftmaxRows::accumulate(const float* vectors, int64_t count, bool add, float* gradient) const {
  const int64_t depth = shape_.depth(), lanes = shape_.lanes();
  const int64_t grain = grain_of(kRows * count * lanes);
  at::parallel_for(0, (depth + kRows - 1) / kRows, grain, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kRows, past = std::min(end * kRows, depth);
    tile_product({vectors + first, 1, depth}, past - first, errors_.data(), lanes, lanes, count,
                 gradient + first * lanes, lanes, add);
  });
}

double SoftmaxRows::gradient(const float* weights, std::span<const int64_t> rows, float scale,
                             float* gradient) {
  const int64_t count = static_cast<int64_t>(rows.size());
  gathered_.resize(static_cast<size_t>(count * shape_.depth()));
  const double loss = probabilities(weights, rows.data(), 0, count, scale);
  accumulate(gathered_.data(), count, false, gradient);
  return loss;
}

double SoftmaxRows::full_gradient(const float* weights, float scale, float* gradient) {
  std::fill_n(gradient, shape_.size(), 0.0f);
  double loss = 0;
  for (int64_t first = 0; first < count(); first += kBlock) {
    const int64_t some = std::min(kBlock, count() - first);
    const float* vectors = vectors_.data() + first * shape_.depth();
    loss += probabilities(weights, nullptr, first, some, scale);
    accumulate(vectors, some, true, gradient);
  }
  return loss;
}

}  // namespace cltrain
