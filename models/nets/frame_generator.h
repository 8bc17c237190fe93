// The generator of VideoMoCo (Pan et al., arXiv 2103.05905, section 3.1): it looks at a clip and
// gives each frame a score; ops/drop_frames.h then drops the frames that score lowest.
//
// The paper names the parts, not their sizes. Sizes, the order of layers, and that weights are used
// repeatedly are those of the authors' code (tinapan-pt/VideoMoCo, moco/builder.py), which is
// written for 32 frames of 112 x 112:
//   clip [N, 3, T, S, S] as an image of 3T channels, colour by colour
//   3 x block: 3x3 convolution of dilation 2, norm (epsilon 1e-3), ReLU, 2x2 max-pool of stride 1;
//      each pass takes a pixel off the side, and all three have the same weights
//   atrous pyramid: 1x1; 3x3 at rates 6, 12, 18; the image's mean through a 1x1; together to 3T
//   convolution, norm, ReLU: one map a frame, [N, T, S - 3, S - 3]
//   3 x (twice: convolution, norm, ReLU; average over 2 x 2); all six have the same weights
//   a frame's map, P x P values with P = (S - 3) / 8 rounded down (13 for 112), is one time step of
//      an LSTM over T steps in both directions, 64 + 64 units
//   its output at the last frame -> linear to T -> softmax; there the backward direction has taken
//      its first step, so that its weight_hh has no gradient
//
// Differences: T and S are free; convolutions before a norm have no bias, which batch norm takes
// away again; norms are this project's, over all ranks by default. Initial weights are keyed and
// distributed as PyTorch's defaults, which the authors use: uniform within 1 / sqrt(fan-in), of the
// LSTM within 1 / sqrt(units).
#pragma once

#include "models/nets/layers.h"

#include <memory>
#include <string>
#include <vector>

namespace cltrain {

struct FrameGeneratorSettings {
  int64_t frames = 32;  ///< T, at least 1
  int64_t size = 112;   ///< S, side of the frames, at least 11 pixels
  int64_t hidden = 64;  ///< units of the LSTM in each direction
  NormSettings norm;    ///< but for its epsilon, which the architecture fixes
};

/// One layer of an LSTM in both directions, with torch's names (weight_ih_l0, ...,
/// bias_hh_l0_reverse) and gate order.
class BidirectionalLstm : public torch::nn::Module {
 public:
  BidirectionalLstm(int64_t in, int64_t hidden);
  at::Tensor forward(const at::Tensor& x);  // [N, T, in] -> [N, T, 2 * hidden]
  void initialize(uint64_t seed, const std::string& prefix);

 private:
  int64_t hidden_;
  std::vector<at::Tensor> weights_;
};

class FrameGenerator : public torch::nn::Module {
 public:
  /// Side of the smallest frames, in pixels.
  static int64_t smallest_size();
  /// Throws where the frames are smaller.
  explicit FrameGenerator(const FrameGeneratorSettings& settings);
  /// Clips [N, 3, T, S, S] -> scores [N, T], in the weights' type; each clip's add up to 1.
  at::Tensor forward(const at::Tensor& clips);
  void initialize(uint64_t seed, const std::string& prefix);

 private:
  struct NormedConvolution {
    std::shared_ptr<Conv2d> convolution;
    std::shared_ptr<Norm> norm;
    at::Tensor forward(const at::Tensor& x) const;  // with ReLU
  };
  /// A 3x3 convolution and its norm.
  NormedConvolution normed(const std::string& name, int64_t in, int64_t out, int64_t dilation,
                           double epsilon);
  std::shared_ptr<Conv2d> plain(const std::string& name, int64_t in, int64_t kernel,
                                int64_t rate = 1);
  at::Tensor pyramid(const at::Tensor& x) const;

  FrameGeneratorSettings settings_;
  NormedConvolution block_, reduce_, refine_;
  std::shared_ptr<Conv2d> pooled_;              // of the pyramid, as are the next two
  std::vector<std::shared_ptr<Conv2d>> rates_;  // 1, 6, 12, 18
  std::shared_ptr<Conv2d> merge_;
  std::shared_ptr<BidirectionalLstm> lstm_;
  std::shared_ptr<Linear> score_;
};

/// With initial weights, keyed by their names behind "generator.".
std::shared_ptr<FrameGenerator> make_frame_generator(const FrameGeneratorSettings& settings,
                                                     uint64_t seed);

}  // namespace cltrain
