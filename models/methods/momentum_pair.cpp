#include "models/methods/momentum_pair.h"

#include "models/methods/shuffled_keys.h"
#include "models/nets/momentum.h"
#include "ops/unit_rows.h"

#include <c10/core/GradMode.h>

namespace cltrain {

MomentumPair::MomentumPair(Method& owner, const MethodParts& parts, const HeadSettings& head,
                           bool shuffle)
    : shuffle_(shuffle && norms_see_parts(head.norm)),
      encoder_(owner.register_module("encoder", parts.make_encoder())),
      key_encoder_(owner.register_module("key_encoder", parts.make_encoder())) {
  const int64_t features = encoder_->feature_dim();
  head_ = owner.register_module("head", std::make_shared<ProjectionHead>(features, head));
  key_head_ = owner.register_module("key_head", std::make_shared<ProjectionHead>(features, head));
  initialize(*head_, parts.seed, "head");
  copy();
}

at::Tensor MomentumPair::features(const at::Tensor& images) {
  return encoder_->forward(images);
}

at::Tensor MomentumPair::projection(const at::Tensor& images) {
  return head_->forward(encoder_->forward(images));
}

at::Tensor MomentumPair::queries(const at::Tensor& images) {
  return unit_rows(projection(images), type());
}

at::Tensor MomentumPair::keys(const at::Tensor& images, const StepContext& context) {
  const c10::NoGradGuard no_grad;
  const auto encode = [this](const at::Tensor& rows) {
    return unit_rows(key_head_->forward(key_encoder_->forward(rows)), type());
  };
  return shuffle_ ? encode_shuffled(images, context, encode) : encode(images);
}

void MomentumPair::copy() {
  copy_network(*encoder_, *key_encoder_);
  copy_network(*head_, *key_head_);
}

void MomentumPair::follow(double momentum) {
  cltrain::follow(*encoder_, *key_encoder_, momentum);
  cltrain::follow(*head_, *key_head_, momentum);
}

ParameterGroup MomentumPair::group(const std::string& name) const {
  return parameters_of(name, {{"encoder", encoder_.get()}, {"head", head_.get()}});
}

at::ScalarType MomentumPair::type() const {
  return head_->parameters().front().scalar_type();
}

}  // namespace cltrain
