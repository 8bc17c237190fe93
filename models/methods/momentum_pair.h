// The two networks of momentum contrast: encoder and head for queries, which are trained, and a
// copy of both for keys, which follows them (models/nets/momentum.h). Keys pass in shuffled order
// where batch norm sees a part of the batch (models/methods/shuffled_keys.h).
#pragma once

#include "models/method.h"
#include "models/methods/parts.h"

#include <memory>

namespace cltrain {

class MomentumPair {
 public:
  /// Registers the networks with `owner` as "encoder", "head", "key_encoder" and "key_head". With
  /// `shuffle` keys are shuffled where that makes a difference.
  MomentumPair(Method& owner, const MethodParts& parts, const HeadSettings& head, bool shuffle);

  /// images [b, ...] -> features, [b, F].
  at::Tensor features(const at::Tensor& images);
  /// What the head makes of the features, [b, D].
  at::Tensor projection(const at::Tensor& images);
  /// projection() in rows of unit length.
  at::Tensor queries(const at::Tensor& images);
  /// What the key encoder and head make of the images, [b, D], of unit length, without graph.
  /// Collective.
  at::Tensor keys(const at::Tensor& images, const StepContext& context);

  /// The key networks become copies; or move towards the others by 1 - momentum.
  void copy();
  void follow(double momentum);

  /// Of the trained networks, as "encoder...." and "head....".
  ParameterGroup group(const std::string& name) const;
  /// Of weights, and so of embeddings.
  at::ScalarType type() const;

 private:
  const bool shuffle_;
  std::shared_ptr<Encoder> encoder_, key_encoder_;
  std::shared_ptr<ProjectionHead> head_, key_head_;
};

}  // namespace cltrain
