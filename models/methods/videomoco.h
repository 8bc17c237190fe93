// VideoMoCo: Pan et al., "VideoMoCo: Contrastive Video Representation Learning with Temporally
// Adversarial Examples", arXiv 2103.05905. MoCo on clips, with two additions: a generator drops the
// frames that change the query most, against which the encoder learns; and a key in the queue
// counts the less the older it is.
#pragma once

#include "dist/contrast.h"
#include "dist/sharded_queue.h"
#include "models/method.h"
#include "models/methods/momentum_pair.h"
#include "models/methods/parts.h"
#include "models/nets/frame_generator.h"

#include <memory>
#include <string>
#include <vector>

namespace cltrain {

/// What of these options does not go with the clips; empty when all is well.
std::vector<std::string> problems(const VideoMocoOptions& options, const InputShape& input);

class VideoMoco : public Method {
 public:
  explicit VideoMoco(const MethodParts& parts);

  /// "encoder" (with its head) and "generator".
  std::vector<ParameterGroup> groups() override;
  /// "encoder" alone (plain MoCo with fading keys) until videomoco.generator_start of the run, then
  /// "generator" and "encoder" one after the other, or, with videomoco.joint, both in "joint".
  std::vector<Phase> plan(int64_t step, int64_t total_steps) const override;
  /// Unit embeddings [b, D]. Phase encoder: queries of view 0, with frames dropped or whole, and
  /// keys of view 1. Phase generator: those of view 0 with frames dropped and whole, the second
  /// without graph. Phase joint: all four.
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override;
  void after_phase(const Phase& phase, const Batch& batch, const StepContext& context) override;
  void weights_replaced() override;
  at::Tensor embed(const at::Tensor& clips) override;
  LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const override;
  int64_t negatives_per_anchor(int64_t global_batch) const override;

 private:
  bool adversarial(int64_t step, int64_t total_steps) const;
  at::Tensor with_dropped_frames(const at::Tensor& clips);

  const VideoMocoOptions options_;
  const ContrastSettings contrast_;
  MomentumPair networks_;
  std::shared_ptr<FrameGenerator> generator_;
  std::shared_ptr<ShardedQueue> queue_;
  at::Tensor new_keys_;  // of the step, pushed once its update is made
};

}  // namespace cltrain
