#include "ops/batch_norm.h"

#include "ops/batch_norm_bfloat16.h"
#include "ops/simd.h"

#include <algorithm>

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/batch_norm_elemt.h>
#include <ATen/ops/batch_norm_stats.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

// A tensor [N, C, ...] seen as N x C rows of `inner` values. A channel's rows lie `channels *
// inner` apart; [N, C] has inner = 1.
struct Planes {
  int64_t rows, channels, inner;
  int64_t stride() const { return channels * inner; }
  int64_t count() const { return rows * inner; }
};

Planes planes_of(const at::Tensor& x) {
  TORCH_CHECK(x.dim() >= 2, "batch norm takes [N, C, ...]; received ", x.sizes());
  int64_t inner = 1;
  for (int64_t d = 2; d < x.dim(); ++d) inner *= x.size(d);
  return {x.size(0), x.size(1), inner};
}

// The rows are summed in their own type, a row at a time, and the rows' sums in double: fast, and
// exact enough for planes of any number of rows.
template <class T>
struct RowKernels;

#define CLTRAIN_ROW_KERNELS(T)                                                                   \
  CLTRAIN_SIMD T row_sum_##T(const T* x, int64_t n) {                                            \
    T sum = 0;                                                                                   \
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; ++i) sum += x[i];          \
    return sum;                                                                                  \
  }                                                                                              \
  CLTRAIN_SIMD void row_deviations_##T(const T* x, int64_t n, T centre, double* sums) {          \
    T sum = 0, squares = 0;                                                                      \
    _Pragma("omp simd reduction(+ : sum, squares)") for (int64_t i = 0; i < n; ++i) {            \
      sum += x[i] - centre;                                                                      \
      squares += (x[i] - centre) * (x[i] - centre);                                              \
    }                                                                                            \
    sums[0] += sum;                                                                              \
    sums[1] += squares;                                                                          \
  }                                                                                              \
  CLTRAIN_SIMD T row_product_sum_##T(const T* dy, const T* x, int64_t n, T mean) {               \
    T sum = 0;                                                                                   \
    _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; ++i) sum +=                \
        dy[i] * (x[i] - mean);                                                                   \
    return sum;                                                                                  \
  }                                                                                              \
  CLTRAIN_SIMD void row_scale_##T(const T* x, T* y, int64_t n, T mean, T scale, T shift) {       \
    _Pragma("omp simd") for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * scale + shift;    \
  }                                                                                              \
  CLTRAIN_SIMD void row_gradient_##T(const T* dy, const T* x, T* dx, int64_t n, T mean, T scale, \
                                     T shift, T slope) {                                         \
    _Pragma("omp simd") for (int64_t i = 0; i < n; ++i) dx[i] =                                  \
        (dy[i] - shift - (x[i] - mean) * slope) * scale;                                         \
  }                                                                                              \
  template <>                                                                                    \
  struct RowKernels<T> {                                                                         \
    static constexpr auto sum = row_sum_##T;                                                     \
    static constexpr auto deviations = row_deviations_##T;                                       \
    static constexpr auto product_sum = row_product_sum_##T;                                     \
    static constexpr auto scale = row_scale_##T;                                                 \
    static constexpr auto gradient = row_gradient_##T;                                           \
  };
CLTRAIN_ROW_KERNELS(float)
CLTRAIN_ROW_KERNELS(double)
#undef CLTRAIN_ROW_KERNELS

// Calls body(channel) for every channel, in parallel where there is enough work.
template <class Body>
void for_channels(const Planes& planes, Body&& body) {
  const int64_t grain = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, planes.count()));
  at::parallel_for(0, planes.channels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; ++channel) body(channel);
  });
}

at::Tensor statistic(const at::Tensor& vector, const at::Tensor& like) {
  return vector.to(like.is_cuda() && like.scalar_type() != at::kDouble ? at::kFloat : at::kDouble);
}

}  // namespace

at::Tensor channel_moments(const at::Tensor& input) {
  const Planes planes = planes_of(input);
  const auto options = input.options().dtype(at::kDouble);
  const int64_t channels = planes.channels;
  if (planes.count() == 0) return at::zeros({2 * channels + 1}, options);
  if (is_cpu_bfloat16(input)) return bfloat16_moments(input);
  if (input.is_cuda()) {
    const auto [mean, inverse_deviation] = at::batch_norm_stats(input, /*eps=*/0.0);
    const at::Tensor variance = inverse_deviation.to(at::kDouble).pow(-2);
    const at::Tensor squares =
        variance.nan_to_num(0.0, 0.0, 0.0) * static_cast<double>(planes.count());
    return at::cat({mean.to(at::kDouble), squares, at::full({1}, planes.count(), options)});
  }
  const at::Tensor x = input.contiguous();
  at::Tensor moments = at::zeros({2 * channels + 1}, options);
  auto* out = moments.mutable_data_ptr<double>();
  out[2 * channels] = static_cast<double>(planes.count());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "channel_moments", [&] {
    const auto* data = x.const_data_ptr<scalar_t>();
    for_channels(planes, [&](int64_t channel) {
      const scalar_t* plane = data + channel * planes.inner;
      double sum = 0;
      for (int64_t row = 0; row < planes.rows; ++row)
        sum += RowKernels<scalar_t>::sum(plane + row * planes.stride(), planes.inner);
      // The first mean carries the rounding of float sums, which a large mean makes large. It only
      // serves as a centre: the deviations from it correct the mean and the squares.
      const auto centre = static_cast<scalar_t>(sum / static_cast<double>(planes.count()));
      double deviations[2] = {0, 0};
      for (int64_t row = 0; row < planes.rows; ++row)
        RowKernels<scalar_t>::deviations(plane + row * planes.stride(), planes.inner, centre,
                                         deviations);
      const double error = deviations[0] / static_cast<double>(planes.count());
      out[channel] = centre + error;
      out[channels + channel] = std::max(0.0, deviations[1] - deviations[0] * error);
    });
  });
  return moments;
}

at::Tensor merge_moments(const at::Tensor& parts) {
  const int64_t channels = (parts.size(1) - 1) / 2;
  const at::Tensor means = parts.narrow(1, 0, channels);
  const at::Tensor squares = parts.narrow(1, channels, channels);
  const at::Tensor counts = parts.narrow(1, 2 * channels, 1);
  const at::Tensor count = counts.sum(0);
  const at::Tensor mean = (means * counts).sum(0) / count.clamp_min(1.0);
  const at::Tensor between = ((means - mean).square() * counts).sum(0);
  return at::cat({mean, squares.sum(0) + between, count});
}

at::Tensor channel_normalize(const at::Tensor& input, const at::Tensor& mean,
                             const at::Tensor& inverse_deviation, const at::Tensor& weight,
                             const at::Tensor& bias) {
  const Planes planes = planes_of(input);
  if (planes.count() == 0) return at::empty_like(input);
  if (is_cpu_bfloat16(input))
    return bfloat16_normalize(input, mean, inverse_deviation, weight, bias, {}, /*relu=*/false);
  if (input.is_cuda())
    return at::batch_norm_elemt(input, weight, bias, statistic(mean, input),
                                statistic(inverse_deviation, input), /*eps=*/0.0);
  const at::Tensor x = input.contiguous();
  at::Tensor y = at::empty_like(x);
  const at::Tensor scale =
      weight.defined() ? inverse_deviation * weight.detach() : inverse_deviation;
  const at::Tensor shift = bias.defined() ? bias.detach().to(at::kDouble) : at::Tensor();
  const auto* means = mean.const_data_ptr<double>();
  const auto* scales = scale.const_data_ptr<double>();
  const auto* shifts = shift.defined() ? shift.const_data_ptr<double>() : nullptr;
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "channel_normalize", [&] {
    const auto* from = x.const_data_ptr<scalar_t>();
    auto* to = y.mutable_data_ptr<scalar_t>();
    for_channels(planes, [&](int64_t channel) {
      for (int64_t row = 0; row < planes.rows; ++row) {
        const int64_t at = row * planes.stride() + channel * planes.inner;
        RowKernels<scalar_t>::scale(from + at, to + at, planes.inner,
                                    static_cast<scalar_t>(means[channel]),
                                    static_cast<scalar_t>(scales[channel]),
                                    static_cast<scalar_t>(shifts ? shifts[channel] : 0.0));
      }
    });
  });
  return y;
}

at::Tensor channel_gradient_sums(const at::Tensor& gradient, const at::Tensor& input,
                                 const at::Tensor& mean, const at::Tensor& inverse_deviation) {
  const Planes planes = planes_of(input);
  const int64_t channels = planes.channels;
  if (planes.count() == 0) return at::zeros({2, channels}, input.options().dtype(at::kDouble));
  if (is_cpu_bfloat16(input))
    return bfloat16_gradient_sums(gradient, input, {}, mean, inverse_deviation);
  if (input.is_cuda()) {
    std::vector<int64_t> shape(input.dim(), 1), reduced{0};
    shape[1] = channels;
    for (int64_t d = 2; d < input.dim(); ++d) reduced.push_back(d);
    const auto type = input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const at::Tensor dy = gradient.to(type);
    const at::Tensor normalized =
        (input.to(type) - mean.to(type).view(shape)) * inverse_deviation.to(type).view(shape);
    return at::stack(
        {dy.sum(reduced, false, at::kDouble), (dy * normalized).sum(reduced, false, at::kDouble)});
  }
  const at::Tensor x = input.contiguous(), dy = gradient.contiguous();
  at::Tensor sums = at::zeros({2, channels}, x.options().dtype(at::kDouble));
  auto* out = sums.mutable_data_ptr<double>();
  const auto* means = mean.const_data_ptr<double>();
  const auto* inverse = inverse_deviation.const_data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "channel_gradient_sums", [&] {
    const auto* values = x.const_data_ptr<scalar_t>();
    const auto* gradients = dy.const_data_ptr<scalar_t>();
    for_channels(planes, [&](int64_t channel) {
      const auto rounded = static_cast<scalar_t>(means[channel]);
      double sum = 0, product = 0;
      for (int64_t row = 0; row < planes.rows; ++row) {
        const int64_t at = row * planes.stride() + channel * planes.inner;
        sum += RowKernels<scalar_t>::sum(gradients + at, planes.inner);
        product +=
            RowKernels<scalar_t>::product_sum(gradients + at, values + at, planes.inner, rounded);
      }
      out[channel] = sum;
      out[channels + channel] = (product - sum * (means[channel] - rounded)) * inverse[channel];
    });
  });
  return sums;
}

at::Tensor channel_input_gradient(const at::Tensor& gradient, const at::Tensor& input,
                                  const at::Tensor& mean, const at::Tensor& inverse_deviation,
                                  const at::Tensor& weight, const at::Tensor& mean_gradients) {
  const Planes planes = planes_of(input);
  if (planes.count() == 0) return at::empty_like(input);
  if (is_cpu_bfloat16(input))
    return bfloat16_input_gradient(gradient, input, {}, mean, inverse_deviation, weight,
                                   mean_gradients);
  if (input.is_cuda()) {
    std::vector<int64_t> shape(input.dim(), 1);
    shape[1] = planes.channels;
    const auto type = input.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const auto column = [&](const at::Tensor& vector) { return vector.to(type).view(shape); };
    const at::Tensor normalized = (input.to(type) - column(mean)) * column(inverse_deviation);
    at::Tensor scale = inverse_deviation;
    if (weight.defined()) scale = scale * weight;
    return ((gradient.to(type) - column(mean_gradients[0]) -
             normalized * column(mean_gradients[1])) *
            column(scale))
        .to(input.scalar_type());
  }
  const at::Tensor x = input.contiguous(), dy = gradient.contiguous();
  at::Tensor dx = at::empty_like(x);
  const at::Tensor scale =
      weight.defined() ? inverse_deviation * weight.detach() : inverse_deviation;
  const at::Tensor slope = mean_gradients[1] * inverse_deviation;
  const at::Tensor shift = mean_gradients[0].contiguous();
  const auto* means = mean.const_data_ptr<double>();
  const auto* scales = scale.const_data_ptr<double>();
  const auto* slopes = slope.const_data_ptr<double>();
  const auto* shifts = shift.const_data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "channel_input_gradient", [&] {
    const auto* values = x.const_data_ptr<scalar_t>();
    const auto* gradients = dy.const_data_ptr<scalar_t>();
    auto* out = dx.mutable_data_ptr<scalar_t>();
    for_channels(planes, [&](int64_t channel) {
      for (int64_t row = 0; row < planes.rows; ++row) {
        const int64_t at = row * planes.stride() + channel * planes.inner;
        RowKernels<scalar_t>::gradient(
            gradients + at, values + at, out + at, planes.inner,
            static_cast<scalar_t>(means[channel]), static_cast<scalar_t>(scales[channel]),
            static_cast<scalar_t>(shifts[channel]), static_cast<scalar_t>(slopes[channel]));
      }
    });
  });
  return dx;
}

}  // namespace cltrain
