#include "train/plan.h"

#include "data/registry.h"
#include "models/nets/layers.h"
#include "models/registry.h"
#include "ops/allocation_meter.h"
#include "train/autocast.h"
#include "train/dtype.h"
#include "train/optimizer.h"
#include "train/spread_state.h"

#include <algorithm>

#include <ATen/ops/arange.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/rand.h>
#include <torch/csrc/autograd/autograd.h>

namespace cltrain {
namespace {

struct Measured {
  int64_t peak = 0;     ///< bytes
  int64_t encoded = 0;  ///< bytes of what encode() gave, and of the gradients at it
  int64_t width = 0;    ///< of the rows that are compared; 0: there are none
};

/// A forward and backward pass over `rows` samples, gradients present before.
Measured measure(Method& method, const TrainOptions& train, int64_t rows,
                 const PlanSamples& samples, const Communicators& alone) {
  const Batch batch = samples.batch(rows);
  Measured result;
  const StepContext context{
      .communicators = alone, .seed = 1, .step = 0, .epoch = 0, .rows = {rows}};
  const Phase phase = method.plan(0, 1).at(0);
  expect_rows(method, rows);
  const AllocationMeter meter;
  {
    const AutocastGuard autocast(c10::DeviceType::CPU, train.run.autocast == "bfloat16");
    const std::vector<at::Tensor> encoded = method.encode(phase, batch, context);
    std::vector<at::Tensor> roots, ones;
    for (const at::Tensor& tensor : encoded) {
      const auto bytes = static_cast<int64_t>(tensor.nbytes());
      result.encoded += tensor.requires_grad() ? 2 * bytes : bytes;
      if (tensor.requires_grad()) {
        roots.push_back(tensor);
        ones.push_back(at::ones_like(tensor));
      }
    }
    if (encoded.back().dim() == 2) result.width = encoded.back().size(1);
    torch::autograd::backward(roots, ones);
  }
  discard_statistics(method);
  result.peak = meter.peak();
  return result;
}

int64_t bytes_of(const std::vector<NamedTensor>& tensors) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

/// Of a prepared sample: as the loader makes it, and besides as the network takes it.
int64_t converted_bytes(const PlanSamples& samples, at::ScalarType type) {
  const auto element = static_cast<int64_t>(c10::elementSize(type));
  int64_t bytes = 0;
  for (const RowField& field : samples.fields)
    if (!field.integers && type != at::kFloat) bytes += values_of(field.extents) * element;
  return bytes;
}

}  // namespace

PlanSamples random_views(const DataOptions& data, const AugmentOptions& augment, int64_t views,
                         at::ScalarType type) {
  const ViewShape shape = view_shape(data, augment);
  PlanSamples samples;
  for (int64_t view = 0; view < views; ++view)
    samples.fields.push_back({"view" + std::to_string(view), shape});
  samples.batch = [type, fields = samples.fields](int64_t rows) {
    Batch batch;
    for (const RowField& field : fields) {
      std::vector<int64_t> extents = field.extents;
      extents.insert(extents.begin(), rows);
      batch.tensors.emplace(field.name, at::rand(extents, type));
    }
    batch.ids = at::arange(rows, at::kLong);
    batch.positions = batch.ids;
    batch.labels = at::zeros({rows}, at::kLong);
    batch.global_rows = rows;
    batch.cut = cut_batch(rows, 0, 1);
    return batch;
  };
  return samples;
}

StepPlan plan_step(Method& method, const MethodOptions& model, const TrainOptions& train,
                   const PlanSamples& samples, int64_t prefetch, int ranks, int threads,
                   const Communicators& alone) {
  const int64_t batch = train.train.global_batch;
  const BatchCut cut = cut_batch(batch, train.train.micro_batch, ranks);
  StepPlan plan;
  plan.chunks = cut.chunks();
  for (const auto& share : cut.share)
    for (const RowRange& rows : share) plan.chunk_rows = std::max(plan.chunk_rows, rows.count());
  for (const int64_t rows : cut.rank_rows()) plan.rows = std::max(plan.rows, rows);
  for (const ParameterGroup& group : method.groups()) {
    plan.parameters += bytes_of(group.parameters);
    plan.optimizer += bytes_of(make_optimizer(train.optim, group)->state());
  }
  plan.gradients = plan.parameters;
  for (const at::Tensor& parameter : method.parameters())
    plan.followers += static_cast<int64_t>(parameter.nbytes());
  plan.followers -= plan.parameters;
  const at::ScalarType type = scalar_type_of(train.run);
  method.train();
  const int64_t few = samples.few;
  measure(method, train, few, samples, alone);  // the gradients are there from now on
  const int64_t small = measure(method, train, few, samples, alone).peak;
  const auto [large, encoded, width] = measure(method, train, 2 * few, samples, alone);
  for (const at::Tensor& parameter : method.parameters()) parameter.mutable_grad().reset();
  plan.activations_per_sample = std::max<int64_t>(0, large - small) / few;
  plan.activations = std::max<int64_t>(0, small - few * plan.activations_per_sample) +
                     plan.chunk_rows * plan.activations_per_sample;
  int64_t prepared = 0;
  for (const RowField& field : samples.fields) prepared += field.row_bytes();
  plan.samples = plan.rows * (prepared * (prefetch + 1) + converted_bytes(samples, type));
  plan.embeddings = plan.rows * encoded / (2 * few);
  plan.loss_shape = {
      .batch = batch, .width = width, .ranks = ranks, .threads = threads, .embeddings = type};
  plan.loss = method.plan_loss(plan.loss_shape, contrast_settings(model.loss));
  for (const StateTensor& item : model_state(method))
    if (!item.rows.empty()) plan.queue += static_cast<int64_t>(item.tensor.nbytes()) / ranks;
  // A ring all-reduce moves each byte twice, but for a rank's own part.
  plan.received_gradients = 2 * plan.gradients * (ranks - 1) / ranks;
  return plan;
}

}  // namespace cltrain
