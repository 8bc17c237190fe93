// Contrastive losses of one rank, on row_lse: memory grows with rows, not with their square.
// Differentiable in every embedding and in scale = 1 / temperature. The per-row losses come first,
// [rows] float64, so that callers weigh and count as they need (the mean is over *global* counts,
// docs/design.md); detach() them for methods that only look. The losses of many ranks are in
// dist/contrast.h. Each formula is checked against its dense float64 form.
#pragma once

#include <ATen/core/Tensor.h>

namespace cltrain {

/// NT-Xent (Chen et al., arXiv 2002.05709, equation 1): view0, view1 [B, D] -> [2B], the anchors of
/// view 0 first:   log sum_{k != i} exp(scale <z_i, z_k>) - scale <z_i, z_p(i)>.
/// Unit rows give the paper's cosine; other rows the raw dot product. B >= 2.
at::Tensor nt_xent_rows(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale);

/// DCL (Yeh et al., arXiv 2110.06848, equation 6): NT-Xent without the positive in the denominator.
at::Tensor dcl_rows(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale);

/// GraphCL (You et al., arXiv 2010.13902, equation 3): one direction, candidates are the other
/// view, the positive is outside the denominator: [B]
///   log sum_{j != i} exp(scale <a_i, b_j>) - scale <a_i, b_i>.
at::Tensor graphcl_rows(const at::Tensor& view0, const at::Tensor& view1, const at::Tensor& scale);

/// InfoNCE with a queue (He et al., arXiv 1911.05722, equation 1): queries, keys [B, D], negatives
/// [K, D] -> [B]. Keys and queue usually carry no gradient. weight [K] or undefined multiplies the
/// negatives' logits (VideoMoCo's fading, arXiv 2103.05905, equation 5).
at::Tensor info_nce_rows(const at::Tensor& queries, const at::Tensor& keys,
                         const at::Tensor& negatives, const at::Tensor& scale,
                         const at::Tensor& weight = {});

/// The symmetric loss of CLIP (Radford et al., arXiv 2103.00020, figure 3): x, y [B, D] -> both
/// directions, [B] each. Their mean over 2B is the paper's loss.
struct TwoWayRows {
  at::Tensor x_to_y, y_to_x;
};
TwoWayRows clip_rows(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale);

/// Supervised contrast (Khosla et al., arXiv 2004.11362): z [M, D], labels [M] int64 -> [M].
/// Positives of i are the other rows of its label; rows without any have 0 and must be left out of
/// the count (has_positive).
///   kMeanOfLogs  L_out, equation 2: the mean over positives of the log-probability
///   kLogOfSum    L_in, equation 3: the log of their mean probability
enum class SupConForm { kMeanOfLogs, kLogOfSum };
struct SupConRows {
  at::Tensor loss;          ///< [M] float64
  at::Tensor has_positive;  ///< [M] bool
};
SupConRows supcon_rows(const at::Tensor& z, const at::Tensor& labels, const at::Tensor& scale,
                       SupConForm form);

}  // namespace cltrain
