// Fine-tuning: supervised softmax cross-entropy on labels. A linear classifier stands on the
// encoder's features, and all layers of both are trained, from weights of another run
// (model.init_from) or from keyed random ones. Images and clips alike, one view of each sample.
// The protocol of contrastive papers for what their encoders are worth: Qian et al.,
// "Spatiotemporal Contrastive Video Representation Learning", arXiv 2008.03800, section 4; Pan et
// al., "VideoMoCo", arXiv 2103.05905, section 4.
//
// The loss is the mean over the rows of the global batch that have a label (those without, -1, do
// not count), so a rank's share is the sum over its rows divided by the count over all ranks.
#pragma once

#include "models/method.h"
#include "models/methods/parts.h"
#include "models/nets/layers.h"

#include <memory>

namespace cltrain {

class Finetune : public Method {
 public:
  /// Throws DataError unless the data has labels of at least two classes.
  explicit Finetune(const MethodParts& parts);

  std::vector<ParameterGroup> groups() override;
  /// Logits of view 0, [b, classes].
  std::vector<at::Tensor> encode(const Phase& phase, const Batch& chunk,
                                 const StepContext& context) override;
  /// Scalar "accuracy": of the batch's labelled rows in training mode; left out where it has none.
  LossShare contrast(const Phase& phase, const std::vector<at::Tensor>& encoded, const Batch& batch,
                     const StepContext& context) override;
  at::Tensor embed(const at::Tensor& images) override;
  bool classifies() const override { return true; }
  at::Tensor classify(const at::Tensor& features) override;
  LossPlan plan_loss(const LossShape& shape, const ContrastSettings& settings) const override;
  int64_t negatives_per_anchor(int64_t) const override { return 0; }

 private:
  const FinetuneOptions options_;
  std::shared_ptr<Encoder> encoder_;
  std::shared_ptr<Linear> classifier_;
};

}  // namespace cltrain
