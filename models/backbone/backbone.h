// The interpreter of a model file: calls blocks in an order in which what a block needs is there,
// packages each time they are named, with the same layers.
//
// Weights are made by one pass over no rows, in which every layer sees its inputs; so the network
// is what the pass says, and there is no second description of widths. Built on the CPU in float32;
// move_to() (models/nets/layers.h) takes it elsewhere. Not thread-safe.
#pragma once

#include "models/backbone/feature_embeddings.h"
#include "models/backbone/layers.h"
#include "models/backbone/model_file.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cltrain {

class Backbone : public torch::nn::Module {
 public:
  /// `columns` outlive this. Throws ConfigError with file:line where a block cannot take what
  /// comes.
  Backbone(ModelFile model, const ClickColumns& columns, uint64_t seed);

  struct Output {
    at::Tensor features;               ///< [b, feature_dim()]
    std::vector<AuxiliaryPair> pairs;  ///< of losses(), in order; without training none
  };
  /// features [b, columns.width()] int64.
  Output forward(const at::Tensor& features, const BackboneDraws& draws);

  struct Loss {
    std::string block;
    AuxiliaryLossSettings settings;
  };
  const std::vector<Loss>& losses() const { return losses_; }
  int64_t feature_dim() const { return feature_dim_; }
  const FeatureEmbeddings& embeddings() const { return *embeddings_; }

 private:
  /// A block's layer, which all calls share; without one inputs are concatenated.
  struct Node {
    std::shared_ptr<BlockLayer> layer;
    uint32_t first_site = 0;
  };
  struct Pass;
  struct Frame;

  at::Tensor run(Pass& pass);
  void make_layers(const BlockPackage& graph, Mistakes& mistakes);
  BlockValue source(const BlockSource& source, const BlockInput& input, Frame& frame);
  const BlockValue& block(const Block& block, Frame& frame);
  BlockValue evaluate(const Block& block, Frame& frame);
  at::Tensor outputs(Frame& frame);

  const ModelFile model_;
  std::shared_ptr<FeatureEmbeddings> embeddings_;
  std::map<const Block*, Node> nodes_;
  std::shared_ptr<BlockLayer> top_mlp_;  // none where the file has none
  std::vector<Loss> losses_;
  int64_t feature_dim_ = 0;
};

}  // namespace cltrain
