// VideoMoCo's frame dropping (Pan et al., arXiv 2103.05905, section 3.1; facts from the authors'
// code, tinapan-pt/VideoMoCo, moco/builder.py): the frames of a clip that score lowest lose their
// content, so that an encoder has to do without them.
//
// Pure, any device, thread-safe; float32, float64 or bfloat16; no clips (N = 0) allowed.
#pragma once

#include <ATen/core/Tensor.h>

namespace cltrain {

/// Which frames are dropped: of each clip the `count` of lowest score, of equal scores the earlier
/// frames. scores [N, T] -> bool [N, T].
at::Tensor frames_to_drop(const at::Tensor& scores, int64_t count);

/// The clips [N, 3, T, H, W] with each dropped frame replaced by its mean, one number over its
/// three channels and all pixels (as the authors' code has it: the frame turns an even grey). The
/// paper drops count = T / 4 frames.
///
/// The choice has no derivative. Backward is straight-through, as in the authors' code: the
/// gradient of a frame's score is the sum of the gradients of this frame's values in the result,
/// whether the frame was dropped or not. Clips get no gradient; clips that require one are refused.
at::Tensor drop_frames(const at::Tensor& clips, const at::Tensor& scores, int64_t count);

}  // namespace cltrain
