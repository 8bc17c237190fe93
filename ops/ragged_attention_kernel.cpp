#include "ops/ragged_attention_kernel.h"

#include "ops/simd.h"
#include "ops/simd_vectors.h"
#include "ops/small_product.h"

namespace cltrain {
namespace {

constexpr double kLog2E = 1.4426950408889634;
// Under every score, and far from overflow where it is added twice.
constexpr float kExcluded = -1e30F;

// x [tokens][stride] -> [head_dim][width], zeros behind the tokens.
template <class Real>
[[gnu::always_inline]] inline void transpose(const AttentionHead<Real>& head, const Real* x,
                                             Real* to) {
  const int64_t width = attention_width(head.tokens);
  for (int64_t c = 0; c < head.head_dim; ++c) {
    Real* row = to + c * width;
    for (int64_t token = 0; token < head.tokens; ++token) row[token] = x[token * head.stride + c];
    for (int64_t token = head.tokens; token < width; ++token) row[token] = 0;
  }
}

// s [width] <- softmax of scale * s + bias over the first `end` keys; 0 elsewhere.
template <class Real>
[[gnu::always_inline]] inline void softmax(Real* s, int64_t width, const Real* bias, int64_t end,
                                           Real scale) {
  using Vector = typename Lanes<Real>::Vector;
  constexpr int kCount = Lanes<Real>::kCount;
  const Vector excluded = Vector{} + static_cast<Real>(kExcluded);
  Vector index, top = excluded, sum = {};
  for (int lane = 0; lane < kCount; ++lane) index[lane] = static_cast<Real>(lane);
  for (int64_t at = 0; at < width; at += kCount) {
    Vector x, shift;
    load(s + at, x);
    load(bias + at, shift);
    x = x * scale + shift;
    x = index + static_cast<Real>(at) < Vector{} + static_cast<Real>(end) ? x : excluded;
    top = x > top ? x : top;
    store<Real>(x, s + at);
  }
  const Real highest_score = highest<Real>(top);
  for (int64_t at = 0; at < width; at += kCount) {
    Vector x;
    load(s + at, x);
    x = (x - highest_score) * static_cast<Real>(kLog2E);
    exp2_in_place<Real>(x);
    sum += x;
    store<Real>(x, s + at);
  }
  const Real share = 1 / static_cast<Real>(total<Real>(sum));
  for (int64_t at = 0; at < width; at += kCount) {
    Vector x;
    load(s + at, x);
    x *= share;
    store<Real>(x, s + at);
  }
}

// Padding that no item precedes has no key to see: all its scores are shifted alike, so that it
// sees every slot of the row, later ones too.
template <class Real>
[[gnu::always_inline]] inline void softmax_rows(const AttentionHead<Real>& head, Real* weights,
                                                Real* bias) {
  const int64_t width = attention_width(head.tokens);
  Real *items = bias, *all = bias + width;
  int64_t first = head.tokens;
  for (int64_t key = width - 1; key >= 0; --key) {
    const bool exists = key < head.tokens, item = exists && head.ids[key] != 0;
    all[key] = exists ? Real{0} : static_cast<Real>(kExcluded);
    items[key] = item ? Real{0} : static_cast<Real>(kExcluded);
    if (item) first = key;
  }
  for (int64_t query = 0; query < head.tokens; ++query) {
    const bool sees_items = query >= first;
    softmax(weights + query * width, width, sees_items ? items : all,
            sees_items ? query + 1 : head.tokens, head.scale);
  }
}

template <class Real>
[[gnu::always_inline]] inline void forward(const AttentionHead<Real>& head, const uint8_t* keep,
                                           int64_t keep_stride, Real* weights, Real* context,
                                           int64_t context_stride) {
  const int64_t n = head.tokens, width = attention_width(n);
  const Real keep_scale = head.keep_scale;
  Real* keys = head.scratch;
  Real* kept = keys + width * head.head_dim;
  Real* bias = kept + 2 * width * n;
  transpose(head, head.k, keys);
  multiply_small<Real>(
      {n, width, head.head_dim, head.q, head.stride, 1, keys, width, weights, width});
  softmax_rows(head, weights, bias);
  if (keep)
    for (int64_t query = 0; query < n; ++query) {
      Real* row = weights + query * width;
      Real* to = kept + query * width;
      const uint8_t* flags = keep + query * keep_stride;
#pragma omp simd
      for (int64_t key = 0; key < n; ++key) {
        const Real weight = row[key], used = kept_value(weight, flags[key]);
        to[key] = used * keep_scale;
        row[key] = used + (used - weight);
      }
    }
  multiply_small<Real>({n, head.head_dim, n, keep ? kept : weights, width, 1, head.v, head.stride,
                        context, context_stride});
}

template <class Real>
[[gnu::always_inline]] inline void backward(const AttentionHead<Real>& head,
                                            const AttentionGradients<Real>& g) {
  const int64_t n = head.tokens, width = attention_width(n), dim = head.head_dim;
  const Real keep_scale = head.keep_scale, scale = head.scale;
  Real* values = head.scratch;
  Real* scores = values + width * dim;  // d kept weights, then d scores
  Real* kept = scores + width * n;
  transpose(head, head.v, values);
  multiply_small<Real>(
      {n, width, dim, g.dcontext, g.context_stride, 1, values, width, scores, width});
  for (int64_t query = 0; query < n; ++query) {
    const Real* weight = g.weights + query * width;
    Real *to = kept + query * width, *score = scores + query * width;
    Real dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t key = 0; key < width; ++key) {
      const Real scaled = weight[key] * keep_scale, used = scaled > 0 ? scaled : Real{0};
      to[key] = used;
      dot += used * score[key];
    }
#pragma omp simd
    for (int64_t key = 0; key < width; ++key) {
      const Real size = weight[key] > 0 ? weight[key] : -weight[key];
      score[key] = (to[key] * score[key] - size * dot) * scale;
    }
  }
  multiply_small<Real>(
      {n, dim, n, kept, 1, width, g.dcontext, g.context_stride, g.dv, head.stride});
  multiply_small<Real>({n, dim, n, scores, width, 1, head.k, head.stride, g.dq, head.stride});
  multiply_small<Real>({n, dim, n, scores, 1, width, head.q, head.stride, g.dk, head.stride});
}

}  // namespace

CLTRAIN_SIMD void attend(const AttentionHead<float>& head, const uint8_t* keep, int64_t keep_stride,
                         float* weights, float* context, int64_t context_stride) {
  forward(head, keep, keep_stride, weights, context, context_stride);
}
CLTRAIN_SIMD void attend(const AttentionHead<double>& head, const uint8_t* keep,
                         int64_t keep_stride, double* weights, double* context,
                         int64_t context_stride) {
  forward(head, keep, keep_stride, weights, context, context_stride);
}

CLTRAIN_SIMD void attend_backward(const AttentionHead<float>& head,
                                  const AttentionGradients<float>& gradients) {
  backward(head, gradients);
}
CLTRAIN_SIMD void attend_backward(const AttentionHead<double>& head,
                                  const AttentionGradients<double>& gradients) {
  backward(head, gradients);
}

}  // namespace cltrain
