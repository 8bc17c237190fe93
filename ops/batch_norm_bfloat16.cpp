#include "ops/batch_norm_bfloat16.h"

#include "ops/simd.h"

#include <algorithm>
#include <limits>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

// bfloat16 is the upper half of a float32. Inlined by force: the clones of the loops below are
// compiled for other processors than these functions, and g++ would call them.
#define CLTRAIN_INLINE [[gnu::always_inline]] inline

CLTRAIN_INLINE float widened(uint16_t bits) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16);
}

// To the nearest, ties to even; what is no number stays none.
CLTRAIN_INLINE uint16_t rounded(float value) {
  const auto bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return static_cast<uint16_t>(value != value ? 0x7fc0u : nearest);
}

CLTRAIN_INLINE float passed(uint16_t gradient, uint16_t y) {
  return widened(y) <= 0.0f ? 0.0f : widened(gradient);
}

// Rows of `channels` values that follow one another: the memory of a channels-last tensor.
struct Rows {
  int64_t count, channels;
  // Rows of a block: few enough that a second look at it finds it in a cache, many enough that the
  // float64 sums of the blocks cost nothing beside them.
  int64_t block() const { return std::clamp<int64_t>(32768 / channels, 64, 512); }
  int64_t blocks() const { return (count + block() - 1) / block(); }
};

Rows rows_in(const at::Tensor& x) {
  TORCH_CHECK(x.dim() >= 2, "batch norm takes [N, C, ...]; received ", x.sizes());
  TORCH_CHECK(is_cpu_bfloat16(x), "these kernels take bfloat16 on the CPU; received ",
              x.scalar_type(), " on ", x.device());
  return {x.numel() == 0 ? 0 : x.numel() / x.size(1), x.size(1)};
}

// The values of x as rows, in x's own memory where they lie so.
struct RowData {
  explicit RowData(const at::Tensor& x) : tensor(x.movedim(1, -1).contiguous()) {}
  const uint16_t* data() const {
    return reinterpret_cast<const uint16_t*>(tensor.const_data_ptr<at::BFloat16>());
  }
  at::Tensor tensor;
};

// One row of neutral values, repeated by a step of 0, stands for an operand that is not there.
struct Operand {
  Operand(const at::Tensor& x, uint16_t neutral, const Rows& rows)
      : values(x.defined() ? RowData(x).tensor : at::Tensor()),
        row(x.defined() ? 0 : rows.channels, neutral),
        first(x.defined() ? reinterpret_cast<const uint16_t*>(values.const_data_ptr<at::BFloat16>())
                          : row.data()),
        step(x.defined() ? rows.channels : 0) {}
  at::Tensor values;
  std::vector<uint16_t> row;
  const uint16_t* first;
  int64_t step;
};

at::Tensor empty_rows_like(const at::Tensor& x) {
  std::vector<int64_t> strides(x.dim());
  int64_t stride = x.size(1);
  strides[1] = 1;
  for (int64_t d = x.dim() - 1; d >= 0; --d) {
    if (d == 1) continue;
    strides[d] = stride;
    stride *= x.size(d);
  }
  return at::empty_strided(x.sizes(), strides, x.options());
}

uint16_t* bits_of(at::Tensor& x) {
  return reinterpret_cast<uint16_t*>(x.mutable_data_ptr<at::BFloat16>());
}

std::vector<float> floats(const at::Tensor& vector) {
  const at::Tensor narrow = vector.detach().to(at::kFloat).contiguous();
  const auto* data = narrow.const_data_ptr<float>();
  return {data, data + narrow.numel()};
}

std::vector<float> floats(const at::Tensor& vector, int64_t channels, float otherwise) {
  return vector.defined() ? floats(vector) : std::vector<float>(channels, otherwise);
}

// --- loops over the rows of a block -------------------------------------------------------------
// Sums of a block are float32: it is short. Four rows a turn, so that a channel's sum is loaded and
// stored once for four values.

CLTRAIN_SIMD void add_rows(const uint16_t* x, int64_t count, int64_t channels, float* sums) {
  int64_t row = 0;
  for (; row + 4 <= count; row += 4) {
    const uint16_t *a = x + row * channels, *b = a + channels, *c = b + channels, *d = c + channels;
#pragma omp simd
    for (int64_t i = 0; i < channels; ++i)
      sums[i] += (widened(a[i]) + widened(b[i])) + (widened(c[i]) + widened(d[i]));
  }
  for (; row < count; ++row) {
    const uint16_t* a = x + row * channels;
#pragma omp simd
    for (int64_t i = 0; i < channels; ++i) sums[i] += widened(a[i]);
  }
}

CLTRAIN_SIMD void add_deviations(const uint16_t* x, int64_t count, int64_t channels,
                                 const float* centre, float* sums, float* squares) {
  int64_t row = 0;
  for (; row + 2 <= count; row += 2) {
    const uint16_t *a = x + row * channels, *b = a + channels;
#pragma omp simd
    for (int64_t i = 0; i < channels; ++i) {
      const float first = widened(a[i]) - centre[i], second = widened(b[i]) - centre[i];
      sums[i] += first + second;
      squares[i] += first * first + second * second;
    }
  }
  for (; row < count; ++row) {
    const uint16_t* a = x + row * channels;
#pragma omp simd
    for (int64_t i = 0; i < channels; ++i) {
      const float deviation = widened(a[i]) - centre[i];
      sums[i] += deviation;
      squares[i] += deviation * deviation;
    }
  }
}

CLTRAIN_SIMD void scale_rows(const uint16_t* x, const uint16_t* addend, int64_t addend_step,
                             uint16_t* y, int64_t count, int64_t channels, const float* mean,
                             const float* scale, const float* shift, float least) {
  for (int64_t row = 0; row < count; ++row) {
    const uint16_t *from = x + row * channels, *more = addend + row * addend_step;
    uint16_t* to = y + row * channels;
#pragma omp simd
    for (int64_t i = 0; i < channels; ++i) {
      const float value = (widened(from[i]) - mean[i]) * scale[i] + shift[i] + widened(more[i]);
      to[i] = rounded(value < least ? least : value);  // this way round, what is no number stays
    }
  }
}

CLTRAIN_SIMD void add_gradients(const uint16_t* dy, const uint16_t* x, const uint16_t* y,
                                int64_t y_step, int64_t count, int64_t channels, const float* mean,
                                float* sums, float* products) {
  int64_t row = 0;
  for (; row + 2 <= count; row += 2) {
    const uint16_t *dy0 = dy + row * channels, *dy1 = dy0 + channels;
    const uint16_t *x0 = x + row * channels, *x1 = x0 + channels;
    const uint16_t *y0 = y + row * y_step, *y1 = y0 + y_step;
#pragma omp simd
    for (int64_t i = 0; i < channels; ++i) {
      const float first = passed(dy0[i], y0[i]), second = passed(dy1[i], y1[i]);
      sums[i] += first + second;
      products[i] += first * (widened(x0[i]) - mean[i]) + second * (widened(x1[i]) - mean[i]);
    }
  }
  for (; row < count; ++row) {
    const uint16_t *dy0 = dy + row * channels, *x0 = x + row * channels, *y0 = y + row * y_step;
#pragma omp simd
    for (int64_t i = 0; i < channels; ++i) {
      const float gradient = passed(dy0[i], y0[i]);
      sums[i] += gradient;
      products[i] += gradient * (widened(x0[i]) - mean[i]);
    }
  }
}

CLTRAIN_SIMD void gradient_rows(const uint16_t* dy, const uint16_t* x, const uint16_t* y,
                                int64_t y_step, uint16_t* dx, int64_t count, int64_t channels,
                                const float* mean, const float* scale, const float* shift,
                                const float* slope) {
  for (int64_t row = 0; row < count; ++row) {
    const uint16_t *up = dy + row * channels, *from = x + row * channels, *out = y + row * y_step;
    uint16_t* to = dx + row * channels;
#pragma omp simd
    for (int64_t i = 0; i < channels; ++i)
      to[i] = rounded((passed(up[i], out[i]) - shift[i] - (widened(from[i]) - mean[i]) * slope[i]) *
                      scale[i]);
  }
}

// --- blocks -------------------------------------------------------------------------------------

// Calls body(block, first row, number of rows) for every block, in parallel. Blocks do not depend
// on the number of threads, and what they sum is added up in their order.
template <class Body>
void for_blocks(const Rows& rows, Body&& body) {
  at::parallel_for(0, rows.blocks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * rows.block();
      body(block, first, std::min(rows.block(), rows.count - first));
    }
  });
}

// Mean and squared deviations of one block into mean[C] and squares[C].
void block_moments(const uint16_t* x, int64_t count, int64_t channels, double* mean,
                   double* squares) {
  std::vector<float> scratch(3 * channels, 0.0f);
  float *centre = scratch.data(), *sums = centre + channels, *deviations = sums + channels;
  add_rows(x, count, channels, centre);
  for (int64_t c = 0; c < channels; ++c) centre[c] /= static_cast<float>(count);
  add_deviations(x, count, channels, centre, sums, deviations);
  for (int64_t c = 0; c < channels; ++c) {
    const double error = sums[c] / static_cast<double>(count);
    mean[c] = centre[c] + error;
    squares[c] = std::max(0.0, deviations[c] - sums[c] * error);
  }
}

}  // namespace

bool is_cpu_bfloat16(const at::Tensor& x) {
  return x.is_cpu() && x.scalar_type() == at::kBFloat16;
}

at::Tensor bfloat16_moments(const at::Tensor& input) {
  const Rows rows = rows_in(input);
  const int64_t channels = rows.channels;
  at::Tensor moments = at::zeros({2 * channels + 1}, input.options().dtype(at::kDouble));
  if (rows.count == 0) return moments;
  const RowData x(input);
  at::Tensor parts = at::empty({rows.blocks(), 2, channels}, moments.options());
  auto* part = parts.mutable_data_ptr<double>();
  for_blocks(rows, [&](int64_t block, int64_t first, int64_t count) {
    double* mean = part + block * 2 * channels;
    block_moments(x.data() + first * channels, count, channels, mean, mean + channels);
  });
  auto *mean = moments.mutable_data_ptr<double>(), *squares = mean + channels;
  squares[channels] = static_cast<double>(rows.count);
  const auto count_of = [&](int64_t block) {
    return static_cast<double>(std::min(rows.block(), rows.count - block * rows.block()));
  };
  for (int64_t block = 0; block < rows.blocks(); ++block) {
    const double *from = part + block * 2 * channels, share = count_of(block) / squares[channels];
    for (int64_t c = 0; c < channels; ++c) mean[c] += from[c] * share;
  }
  for (int64_t block = 0; block < rows.blocks(); ++block) {
    const double *from = part + block * 2 * channels, count = count_of(block);
    for (int64_t c = 0; c < channels; ++c)
      squares[c] += from[channels + c] + count * (from[c] - mean[c]) * (from[c] - mean[c]);
  }
  return moments;
}

at::Tensor bfloat16_normalize(const at::Tensor& input, const at::Tensor& mean,
                              const at::Tensor& inverse_deviation, const at::Tensor& weight,
                              const at::Tensor& bias, const at::Tensor& addend, bool relu) {
  const Rows rows = rows_in(input);
  if (rows.count == 0) return at::empty_like(input);
  TORCH_CHECK(!addend.defined() || (addend.sizes() == input.sizes() && is_cpu_bfloat16(addend)),
              "what is added to a normalised tensor has its type and shape, bfloat16 ",
              input.sizes(), " on the CPU; received ", addend.scalar_type(), " ", addend.sizes());
  const RowData x(input);
  const Operand more(addend, 0, rows);
  at::Tensor result = empty_rows_like(input);
  uint16_t* y = bits_of(result);
  const std::vector<float> means = floats(mean), shifts = floats(bias, rows.channels, 0.0f);
  const std::vector<float> scales =
      floats(weight.defined() ? inverse_deviation * weight.detach() : inverse_deviation);
  const float least = relu ? 0.0f : -std::numeric_limits<float>::infinity();
  for_blocks(rows, [&](int64_t, int64_t first, int64_t count) {
    const int64_t at = first * rows.channels;
    scale_rows(x.data() + at, more.first + first * more.step, more.step, y + at, count,
               rows.channels, means.data(), scales.data(), shifts.data(), least);
  });
  return result;
}

at::Tensor bfloat16_gradient_sums(const at::Tensor& gradient, const at::Tensor& input,
                                  const at::Tensor& result, const at::Tensor& mean,
                                  const at::Tensor& inverse_deviation) {
  const Rows rows = rows_in(input);
  const int64_t channels = rows.channels;
  at::Tensor sums = at::zeros({2, channels}, input.options().dtype(at::kDouble));
  if (rows.count == 0) return sums;
  const RowData x(input), dy(gradient);
  const Operand y(result, 0x3f80, rows);  // 1
  const std::vector<float> means = floats(mean);
  at::Tensor parts = at::empty({rows.blocks(), 2 * channels}, input.options().dtype(at::kFloat));
  auto* part = parts.mutable_data_ptr<float>();
  for_blocks(rows, [&](int64_t block, int64_t first, int64_t count) {
    const int64_t at = first * channels;
    float* to = part + block * 2 * channels;
    std::fill_n(to, 2 * channels, 0.0f);
    add_gradients(dy.data() + at, x.data() + at, y.first + first * y.step, y.step, count, channels,
                  means.data(), to, to + channels);
  });
  auto *sum = sums.mutable_data_ptr<double>(), *product = sum + channels;
  for (int64_t block = 0; block < rows.blocks(); ++block)
    for (int64_t i = 0; i < 2 * channels; ++i) sum[i] += part[block * 2 * channels + i];
  const auto* exact = mean.const_data_ptr<double>();
  const auto* inverse = inverse_deviation.const_data_ptr<double>();
  for (int64_t c = 0; c < channels; ++c)
    product[c] = (product[c] - sum[c] * (exact[c] - means[c])) * inverse[c];
  return sums;
}

at::Tensor bfloat16_input_gradient(const at::Tensor& gradient, const at::Tensor& input,
                                   const at::Tensor& result, const at::Tensor& mean,
                                   const at::Tensor& inverse_deviation, const at::Tensor& weight,
                                   const at::Tensor& mean_gradients) {
  const Rows rows = rows_in(input);
  if (rows.count == 0) return at::empty_like(input);
  const RowData x(input), dy(gradient);
  const Operand y(result, 0x3f80, rows);  // 1
  at::Tensor dx = empty_rows_like(input);
  uint16_t* to = bits_of(dx);
  const std::vector<float> means = floats(mean), shifts = floats(mean_gradients[0]);
  const std::vector<float> slopes = floats(mean_gradients[1] * inverse_deviation);
  const std::vector<float> scales =
      floats(weight.defined() ? inverse_deviation * weight.detach() : inverse_deviation);
  for_blocks(rows, [&](int64_t, int64_t first, int64_t count) {
    const int64_t at = first * rows.channels;
    gradient_rows(dy.data() + at, x.data() + at, y.first + first * y.step, y.step, to + at, count,
                  rows.channels, means.data(), scales.data(), shifts.data(), slopes.data());
  });
  return dx;
}

}  // namespace cltrain
