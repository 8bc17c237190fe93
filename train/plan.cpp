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

Batch random_batch(int64_t rows, const ViewShape& view_shape, at::ScalarType type) {
  std::vector<int64_t> extents = view_shape;
  extents.insert(extents.begin(), rows);
  Batch batch;
  for (const char* view : {"view0", "view1"}) batch.tensors.emplace(view, at::rand(extents, type));
  batch.ids = at::arange(rows, at::kLong);
  batch.positions = batch.ids;
  batch.labels = at::zeros({rows}, at::kLong);
  batch.global_rows = rows;
  batch.cut = cut_batch(rows, 0, 1);
  return batch;
}

/// Bytes at the peak of a forward and backward pass over `rows` samples, gradients present before.
int64_t measured_peak(Method& method, const TrainOptions& train, int64_t rows,
                      const ViewShape& view_shape, const Communicators& alone) {
  const Batch batch = random_batch(rows, view_shape, scalar_type_of(train.run));
  const StepContext context{
      .communicators = alone, .seed = 1, .step = 0, .epoch = 0, .rows = {rows}};
  const Phase phase = method.plan(0, 1).at(0);
  expect_rows(method, rows);
  const AllocationMeter meter;
  {
    const AutocastGuard autocast(c10::DeviceType::CPU, train.run.autocast == "bfloat16");
    const std::vector<at::Tensor> encoded = method.encode(phase, batch, context);
    std::vector<at::Tensor> roots, ones;
    for (const at::Tensor& tensor : encoded)
      if (tensor.requires_grad()) {
        roots.push_back(tensor);
        ones.push_back(at::ones_like(tensor));
      }
    torch::autograd::backward(roots, ones);
  }
  discard_statistics(method);
  return meter.peak();
}

int64_t bytes_of(const std::vector<NamedTensor>& tensors) {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

}  // namespace

StepPlan plan_step(Method& method, const MethodOptions& model, const TrainOptions& train,
                   const DataOptions& data, const AugmentOptions& augment, int ranks, int threads,
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
  const ViewShape view = view_shape(data, augment);
  method.train();
  measured_peak(method, train, 2, view, alone);  // the gradients are there from now on
  const int64_t small = measured_peak(method, train, 2, view, alone);
  const int64_t large = measured_peak(method, train, 4, view, alone);
  for (const at::Tensor& parameter : method.parameters()) parameter.mutable_grad().reset();
  plan.activations_per_image = std::max<int64_t>(0, large - small) / 2;
  plan.activations = std::max<int64_t>(0, small - 2 * plan.activations_per_image) +
                     plan.chunk_rows * plan.activations_per_image;
  const at::ScalarType type = scalar_type_of(train.run);
  const auto element = static_cast<int64_t>(c10::elementSize(type));
  const int64_t values = 2 * values_of(view);  // both views
  plan.views = plan.rows * values * (4 * (data.prefetch + 1) + (element == 4 ? 0 : element));
  plan.embeddings = plan.rows * 2 * model.model.head_out * element * 2;
  plan.loss_shape = {.batch = batch,
                     .width = model.model.head_out,
                     .ranks = ranks,
                     .threads = threads,
                     .embeddings = type};
  plan.loss = method.plan_loss(plan.loss_shape, contrast_settings(model.loss));
  for (const StateTensor& item : model_state(method))
    if (!item.rows.empty()) plan.queue += static_cast<int64_t>(item.tensor.nbytes()) / ranks;
  // A ring all-reduce moves each byte twice, but for a rank's own part.
  plan.received_gradients = 2 * plan.gradients * (ranks - 1) / ranks;
  return plan;
}

}  // namespace cltrain
