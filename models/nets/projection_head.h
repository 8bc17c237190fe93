// SimCLR's projection head: 2 layers (v1, arXiv 2002.05709) or 3 (v2, arXiv 2006.10029), each a
// linear layer without bias and a norm, ReLU between; the last norm has no shift (google-research/
// simclr, model_util.projection_head). Hidden width = feature width unless given.
#pragma once

#include "models/nets/layers.h"

#include <memory>
#include <vector>

namespace cltrain {

struct HeadSettings {
  int64_t layers = 2;
  int64_t hidden = 0;  ///< 0: the feature width
  int64_t out = 128;
  NormSettings norm;
};

class ProjectionHead : public torch::nn::Module {
 public:
  ProjectionHead(int64_t features, const HeadSettings& settings);
  at::Tensor forward(const at::Tensor& features);  // [N, features] -> [N, out]

 private:
  std::vector<std::shared_ptr<Linear>> linears_;
  std::vector<std::shared_ptr<Norm>> norms_;
};

}  // namespace cltrain
