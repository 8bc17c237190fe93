// Oracles of the contrastive losses: the papers' formulas as they are printed, on every pair of
// rows, in float64, with autograd for the gradients. They share nothing with ops/lse.h:
// exponentials are taken without any reference, so logits have to stay within +-700.
//
// A loss takes embeddings and a scalar scale = 1 / temperature that are float64 already and returns
// one value a row. Used by the tests of one rank (tests/ops/) and of many (tests/dist/).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

namespace cltrain::testing {

/// exp(scale <x_i, y_j>): x [M, D], y [K, D] -> [M, K].
inline at::Tensor exponentials(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale) {
  return (scale * at::mm(x, y.t())).exp();
}

/// [n, n] float64: 0 on the diagonal, 1 beside it.
inline at::Tensor all_but_own(int64_t rows) {
  return 1 - at::eye(rows, at::kDouble);
}

/// log sum_k exp(scale <z_i, z_k>) over the columns k that `seen` [M, M] has 1 for: [M].
inline at::Tensor dense_self_lse(const at::Tensor& z, const at::Tensor& scale,
                                 const at::Tensor& seen) {
  return (exponentials(z, z, scale) * seen).sum(1).log();
}

/// Of an [2B, 2B] table over both views, the entries of each row with its other view: [2B].
inline at::Tensor other_views(const at::Tensor& table) {
  const int64_t batch = table.size(0) / 2;
  return at::cat({table.diagonal(batch), table.diagonal(-batch)});
}

/// Chen et al., arXiv 2002.05709, equation 1: [2B], view 0 first.
///   l_ij = -log( exp(s_ij) / sum_{k != i} exp(s_ik) )
inline at::Tensor dense_nt_xent_rows(const at::Tensor& view0, const at::Tensor& view1,
                                     const at::Tensor& scale) {
  const at::Tensor z = at::cat({view0, view1});
  const at::Tensor e = exponentials(z, z, scale);
  return -(other_views(e) / (e * all_but_own(z.size(0))).sum(1)).log();
}

/// [2B, 2B]: 1 for the pairs of different images.
inline at::Tensor other_images(int64_t batch) {
  return all_but_own(batch).repeat({2, 2});
}

/// Yeh et al., arXiv 2110.06848, equation 6: [2B].
///   L_i = -s_i,p(i) + log sum over the views of other images of exp(s_ik)
inline at::Tensor dense_dcl_rows(const at::Tensor& view0, const at::Tensor& view1,
                                 const at::Tensor& scale) {
  const at::Tensor z = at::cat({view0, view1});
  const at::Tensor e = exponentials(z, z, scale);
  return -other_views(e).log() + (e * other_images(view0.size(0))).sum(1).log();
}

/// You et al., arXiv 2010.13902, equation 3: [B].
///   l_n = -log( exp(s_nn) / sum_{n' != n} exp(s_nn') ), s between the two views
inline at::Tensor dense_graphcl_rows(const at::Tensor& view0, const at::Tensor& view1,
                                     const at::Tensor& scale) {
  const at::Tensor e = exponentials(view0, view1, scale);
  return -(e.diagonal() / (e * all_but_own(view0.size(0))).sum(1)).log();
}

/// He et al., arXiv 1911.05722, equation 1, and with weight [K] Pan et al., arXiv 2103.05905,
/// equation 5: [B].
///   L_q = -log( exp(q.k) / (exp(q.k) + sum_i exp(w_i q.k_i)) )
inline at::Tensor dense_info_nce_rows(const at::Tensor& queries, const at::Tensor& keys,
                                      const at::Tensor& negatives, const at::Tensor& scale,
                                      const at::Tensor& weight = {}) {
  const at::Tensor positive = (scale * (queries * keys).sum(1)).exp();
  at::Tensor logits = scale * at::mm(queries, negatives.t());
  if (weight.defined()) logits = logits * weight;
  return -(positive / (positive + logits.exp().sum(1))).log();
}

/// Radford et al., arXiv 2103.00020, figure 3: cross-entropy along the rows and along the columns
/// of one table, [B] each.
struct DenseTwoWay {
  at::Tensor x_to_y, y_to_x;
};
inline DenseTwoWay dense_clip_rows(const at::Tensor& x, const at::Tensor& y,
                                   const at::Tensor& scale) {
  const at::Tensor e = exponentials(x, y, scale);
  return {-(e.diagonal() / e.sum(1)).log(), -(e.diagonal() / e.sum(0)).log()};
}

/// Khosla et al., arXiv 2004.11362, row by row: [M], 0 for a row without positives.
///   outside  equation 2: -1/|P(i)| sum_{p in P(i)} log( exp(s_ip) / sum_{a != i} exp(s_ia) )
///   inside   equation 3: -log( 1/|P(i)| sum_{p in P(i)} exp(s_ip) / sum_{a != i} exp(s_ia) )
inline at::Tensor dense_supcon_rows(const at::Tensor& z, const std::vector<int64_t>& labels,
                                    const at::Tensor& scale, bool outside) {
  const at::Tensor e = exponentials(z, z, scale);
  const at::Tensor sums = (e * all_but_own(z.size(0))).sum(1);
  std::vector<at::Tensor> losses;
  for (int64_t i = 0; i < z.size(0); ++i) {
    std::vector<int64_t> positives;
    for (int64_t p = 0; p < z.size(0); ++p)
      if (p != i && labels[p] == labels[i]) positives.push_back(p);
    if (positives.empty()) {
      losses.push_back(at::zeros({}, at::kDouble));
      continue;
    }
    const at::Tensor probability = e[i].index_select(0, at::tensor(positives, at::kLong)) / sums[i];
    losses.push_back(outside ? -probability.log().mean() : -probability.mean().log());
  }
  return at::stack(losses);
}

/// Gaussian rows [rows, width] float64, the same wherever `seed` is; `unit` divides each by its
/// norm.
inline at::Tensor gaussian_rows(int64_t rows, int64_t width, uint64_t seed, bool unit = true) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  const at::Tensor x = at::randn({rows, width}, generator, at::kDouble);
  return unit ? x / x.norm(2, {1}, true) : x;
}

/// Two views: the second is the first with noise, so that positives are alike, as in training.
struct Views {
  at::Tensor first, second;
};
inline Views alike_views(int64_t rows, int64_t width, uint64_t seed, bool unit = true) {
  const at::Tensor x = gaussian_rows(rows, width, seed, false);
  const at::Tensor y = x + 0.7 * gaussian_rows(rows, width, seed + 1, false);
  if (!unit) return {x, y};
  return {x / x.norm(2, {1}, true), y / y.norm(2, {1}, true)};
}

/// Frobenius norms in float64.
inline double length(const at::Tensor& tensor) {
  return tensor.detach().to(at::kDouble).norm().item<double>();
}
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  return length(a.detach().to(at::kDouble) - b.detach().to(at::kDouble));
}
inline double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return distance(found, expected) / std::max(length(expected), 1e-300);
}

}  // namespace cltrain::testing
