#include "models/methods/finetune.h"

#include "data/dataset.h"
#include "ops/cross_entropy.h"
#include "ops/initial_weights.h"

#include <algorithm>

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

int64_t checked_classes(int64_t classes) {
  if (classes < 2)
    throw DataError(
        "method.name=finetune learns labels, and the training data has " +
        (classes == 0 ? std::string("none") : "1 class") +
        "; at least 2 classes are needed: give data with labels (a folder: a sub-folder for each "
        "class; shards: .cls files or sub-folders), or choose a method without labels, as "
        "method.name=simclr");
  return classes;
}

/// Rows with a label and, of these, rows whose best class is theirs: over all ranks.
struct Counts {
  int64_t labelled, right;
};

Counts count(const at::Tensor& logits, const at::Tensor& labels, const Communicator& control) {
  const at::Tensor known = labels.ge(0);
  const at::Tensor right = logits.argmax(1).eq(labels).logical_and(known);
  at::Tensor counts =
      at::tensor({known.sum().item<int64_t>(), right.sum().item<int64_t>()}, at::kLong);
  control.all_reduce_sum(counts);
  return {counts[0].item<int64_t>(), counts[1].item<int64_t>()};
}

}  // namespace

Finetune::Finetune(const MethodParts& parts)
    : options_(parts.options.finetune),
      encoder_(register_module("encoder", parts.make_encoder())),
      classifier_(register_module("classifier",
                                  std::make_shared<Linear>(encoder_->feature_dim(),
                                                           checked_classes(parts.input.classes)))) {
  // As facebookresearch/moco starts a classifier (main_lincls.py): near zero, so that the first
  // gradients do not spoil the features. The bias is zero.
  fill_normal(classifier_->weight, 0.01, parts.seed, "classifier.weight");
}

std::vector<ParameterGroup> Finetune::groups() {
  return {parameters_of("all", {{"encoder", encoder_.get()}, {"classifier", classifier_.get()}})};
}

std::vector<at::Tensor> Finetune::encode(const Phase&, const Batch& chunk, const StepContext&) {
  const at::Tensor logits = classifier_->forward(encoder_->forward(chunk.tensors.at("view0")));
  return {logits.to(classifier_->weight.scalar_type())};  // also under autocast
}

LossShare Finetune::contrast(const Phase&, const std::vector<at::Tensor>& encoded,
                             const Batch& batch, const StepContext& context) {
  TORCH_CHECK(batch.labels.defined(), "method.name=finetune: the batch of step ", batch.step,
              " has no labels");
  const at::Tensor& logits = encoded.at(0);
  const at::Tensor labels = batch.labels.to(logits.device());
  context.enter("gather");
  const Counts counts = count(logits.detach(), labels, *context.communicators.control);
  context.enter("loss");
  LossShare loss;
  const auto rows = static_cast<double>(std::max<int64_t>(1, counts.labelled));
  loss.share = cross_entropy_rows(logits, labels, options_.label_smoothing).sum() / rows;
  if (counts.labelled > 0) loss.scalars = {{"accuracy", static_cast<double>(counts.right) / rows}};
  return loss;
}

at::Tensor Finetune::embed(const at::Tensor& images) {
  return encoder_->forward(images);
}

at::Tensor Finetune::classify(const at::Tensor& features) {
  return classifier_->forward(features.to(classifier_->weight.options()));
}

LossPlan Finetune::plan_loss(const LossShape& shape, const ContrastSettings&) const {
  const int64_t rows = (shape.batch + shape.ranks - 1) / shape.ranks;
  const int64_t values = rows * classifier_->weight.size(0);
  const auto element = static_cast<int64_t>(c10::elementSize(shape.embeddings));
  LossPlan plan;
  plan.rows = 2 * values * 8;  // logits and their log-softmax in float64
  plan.gradients = values * (8 + element);
  plan.sums = 4 * rows * 8;
  return plan;
}

}  // namespace cltrain
