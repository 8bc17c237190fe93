// One head of one row of ops/ragged_attention.h, forward and backward, on this machine's widest
// vectors. Free of torch; pure; float32 and float64.
#pragma once

#include <cstdint>

namespace cltrain {

/// Matrices of [tokens][tokens] have rows of this many numbers: full vectors.
inline int64_t attention_width(int64_t tokens) {
  return (tokens + 15) / 16 * 16;
}
/// Numbers of scratch for one head.
inline int64_t attention_scratch(int64_t tokens, int64_t head_dim) {
  return attention_width(tokens) * (head_dim + 2 * tokens + 2);
}

template <class Real>
struct AttentionHead {
  const Real *q, *k, *v;  ///< [tokens][stride], of which this head's head_dim are read
  int64_t stride, tokens, head_dim;
  const int64_t* ids;  ///< [tokens]: 0 is padding
  Real scale;          ///< of the scores
  Real keep_scale;     ///< of weights that dropout keeps; 1 without dropout
  Real* scratch;
};

/// weights [tokens][width]: the softmax, with a minus sign where dropout took the weight away;
/// context [tokens][context_stride] = kept weights times v. keep [tokens][keep_stride] bytes, null
/// without dropout.
void attend(const AttentionHead<float>& head, const uint8_t* keep, int64_t keep_stride,
            float* weights, float* context, int64_t context_stride);
void attend(const AttentionHead<double>& head, const uint8_t* keep, int64_t keep_stride,
            double* weights, double* context, int64_t context_stride);

/// From dcontext [tokens][context_stride] and the weights of attend(): dq, dk, dv, written over,
/// with q's stride.
template <class Real>
struct AttentionGradients {
  const Real* dcontext;
  int64_t context_stride;
  const Real* weights;
  Real *dq, *dk, *dv;
};
void attend_backward(const AttentionHead<float>& head, const AttentionGradients<float>& gradients);
void attend_backward(const AttentionHead<double>& head,
                     const AttentionGradients<double>& gradients);

}  // namespace cltrain
