#include "models/methods/videomoco.h"

#include "configs/scalar_text.h"
#include "models/registry.h"
#include "ops/drop_frames.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/full.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

/// tinapan-pt/VideoMoCo: the classifier of the network becomes one linear layer to 128.
HeadSettings head_of(const HeadSettings& given) {
  HeadSettings head = given;
  if (head.layers == 0) head.layers = 1;
  head.norms = false;
  head.last = LastNorm::kNone;
  return head;
}

/// While it lives, passes through a network give its parameters no gradient; their inputs get one.
class PassThrough {
 public:
  explicit PassThrough(ParameterGroup group)
      : group_(std::move(group)), trained_(group_.parameters.front().second.requires_grad()) {
    set(false);
  }
  ~PassThrough() { set(trained_); }
  PassThrough(const PassThrough&) = delete;
  PassThrough& operator=(const PassThrough&) = delete;

 private:
  void set(bool trained) {
    for (const auto& [name, parameter] : group_.parameters)
      at::Tensor(parameter).requires_grad_(trained);
  }
  const ParameterGroup group_;
  const bool trained_;
};

int64_t dropped_frames(const VideoMocoOptions& options, int64_t frames) {
  return static_cast<int64_t>(options.drop_ratio * static_cast<double>(frames));
}

}  // namespace

VideoMoco::VideoMoco(const MethodParts& parts)
    : options_(parts.options.videomoco),
      contrast_(contrast_settings(parts.options.loss)),
      networks_(*this, parts, head_of(parts.head), options_.shuffle_bn),
      generator_(register_module("generator", make_frame_generator({.frames = parts.input.frames,
                                                                    .size = parts.input.size,
                                                                    .norm = parts.head.norm},
                                                                   parts.seed))),
      queue_(register_module(
          "queue", std::make_shared<ShardedQueue>(options_.queue, parts.head.out, parts.seed,
                                                  parts.communicator))) {}

void VideoMoco::weights_replaced() {
  networks_.copy();
}

std::vector<ParameterGroup> VideoMoco::groups() {
  return {networks_.group("encoder"),
          parameters_of("generator", {{"generator", generator_.get()}})};
}

bool VideoMoco::adversarial(int64_t step, int64_t total_steps) const {
  return static_cast<double>(step) >= options_.generator_start * static_cast<double>(total_steps) &&
         options_.generator_start < 1;
}

std::vector<Phase> VideoMoco::plan(int64_t step, int64_t total_steps) const {
  if (!adversarial(step, total_steps)) return {{"encoder", {"encoder"}}};
  if (options_.joint) return {{"joint", {"encoder", "generator"}}};
  return {{"generator", {"generator"}}, {"encoder", {"encoder"}}};
}

std::vector<std::string> problems(const VideoMocoOptions& options, const InputShape& input) {
  std::vector<std::string> found;
  if (options.generator_start < 1 && dropped_frames(options, input.frames) == 0)
    found.push_back("videomoco.drop_ratio=" + write_float(options.drop_ratio) +
                    " of data.frames=" + std::to_string(input.frames) +
                    " drops no whole frame, and the generator would play for nothing; set more "
                    "frames, a larger share, or videomoco.generator_start=1");
  if (input.size < FrameGenerator::smallest_size())
    found.push_back("augment.size=" + std::to_string(input.size) +
                    " is too small for VideoMoCo's generator, which halves maps three times; "
                    "allowed: at least " +
                    std::to_string(FrameGenerator::smallest_size()));
  return found;
}

at::Tensor VideoMoco::with_dropped_frames(const at::Tensor& clips) {
  return drop_frames(clips, generator_->forward(clips), dropped_frames(options_, clips.size(2)));
}

std::vector<at::Tensor> VideoMoco::encode(const Phase& phase, const Batch& chunk,
                                          const StepContext& context) {
  const at::Tensor &view0 = chunk.tensors.at("view0"), &view1 = chunk.tensors.at("view1");
  std::vector<at::Tensor> encoded;
  at::Tensor query = view0;
  if (adversarial(context.step, context.total_steps)) {
    // In its own phase the encoder meets a generator that does not learn from it.
    const c10::AutoGradMode with_graph(phase.name != "encoder" && c10::GradMode::is_enabled());
    query = with_dropped_frames(view0);
  }
  if (phase.name != "generator")
    encoded = {networks_.queries(query), networks_.keys(view1, context)};
  if (phase.name != "encoder") {
    const PassThrough frozen(networks_.group("encoder"));
    encoded.push_back(networks_.queries(query));
    const c10::NoGradGuard no_grad;
    encoded.push_back(networks_.queries(view0));
  }
  return encoded;
}

LossShare VideoMoco::contrast(const Phase& phase, const std::vector<at::Tensor>& encoded,
                              const Batch&, const StepContext& context) {
  LossShare loss;
  if (phase.name != "generator") {
    const at::Tensor scale = at::full({}, 1 / options_.temperature, at::kDouble);
    loss.share = global_queue_info_nce(encoded[0], encoded[1], *queue_, scale, context.rows,
                                       *context.communicators.loss, context.enter, contrast_,
                                       options_.decay);
    new_keys_ = encoded[1].detach();
    loss.embeddings = {encoded[0].detach(), new_keys_};
  }
  if (phase.name != "encoder") {
    // Minus the mean change of a feature: the generator looks for the frames that matter.
    const at::Tensor &dropped = encoded[encoded.size() - 2], &whole = encoded.back();
    const auto values = static_cast<double>(context.global_rows() * whole.size(1));
    const at::Tensor change = at::abs(dropped - whole).sum().to(at::kDouble) / values;
    loss.scalars = {{"generator_change", over_ranks(change, *context.communicators.control)}};
    const at::Tensor share = -options_.generator_weight * change;
    loss.share = loss.share.defined() ? loss.share + share : share;
  }
  return loss;
}

void VideoMoco::after_phase(const Phase& phase, const Batch& batch, const StepContext& context) {
  if (phase.name == "generator") return;
  networks_.follow(options_.momentum);
  queue_->push({new_keys_}, context.rows, batch.cut.gathered_places());
  new_keys_.reset();
}

at::Tensor VideoMoco::embed(const at::Tensor& clips) {
  return networks_.features(clips);
}

LossPlan VideoMoco::plan_loss(const LossShape& shape, const ContrastSettings& settings) const {
  return plan_queue_info_nce(shape, settings, queue_->size(), options_.decay < 1);
}

int64_t VideoMoco::negatives_per_anchor(int64_t) const {
  return queue_->size();
}

}  // namespace cltrain
