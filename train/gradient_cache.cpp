#include "train/gradient_cache.h"

#include "models/nets/layers.h"
#include "train/autocast.h"

#include <utility>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

namespace cltrain {
namespace {

using Tensors = std::vector<at::Tensor>;

/// What every chunk of a phase is encoded with.
struct Encoding {
  Method& method;
  const Phase& phase;
  const Batch& batch;
  const StepContext& context;
  bool autocast;
};

// A guard for each chunk: weights that were cast without graph must not be found with one.
Tensors encode(const Encoding& encoding, int64_t chunk) {
  const Communicator& ranks = *encoding.context.communicators.loss;
  StepContext context = encoding.context;
  context.rows = encoding.batch.cut.chunk_rows(chunk);
  expect_rows(encoding.method, context.global_rows());
  const AutocastGuard autocast(ranks.device().type(), encoding.autocast);
  Tensors encoded = encoding.method.encode(encoding.phase,
                                           chunk_of(encoding.batch, chunk, ranks.rank()), context);
  const int64_t rows = context.rows[static_cast<size_t>(ranks.rank())];
  for (const at::Tensor& tensor : encoded)
    TORCH_CHECK(tensor.dim() > 0 && tensor.size(0) == rows, "Method::encode gave ", tensor.sizes(),
                " for a chunk of ", rows, " rows on this rank");
  return encoded;
}

/// The chunks joined, cut off from the encoder's graph; gradients end where chunk 0 would pass them
/// on.
Tensors leaves_of(const Tensors& first, const std::vector<Tensors>& others) {
  Tensors leaves;
  for (size_t i = 0; i < first.size(); ++i) {
    Tensors parts{first[i].detach()};
    for (const Tensors& chunk : others) parts.push_back(chunk.at(i));
    at::Tensor leaf = parts.size() == 1 ? parts.front() : at::cat(parts);
    leaves.push_back(leaf.requires_grad_(first[i].requires_grad()));
  }
  return leaves;
}

/// From the rows of the leaves' gradients that begin at `row` back through the graph of a chunk.
void back_propagate(const Tensors& encoded, const Tensors& leaves, int64_t row) {
  Tensors roots, gradients;
  for (size_t i = 0; i < encoded.size(); ++i) {
    if (!encoded[i].requires_grad()) continue;
    // Where the loss does not use a tensor, its graph runs all the same: it may hold collectives.
    const at::Tensor& whole = leaves.at(i).grad();
    roots.push_back(encoded[i]);
    gradients.push_back(whole.defined() ? whole.narrow(0, row, encoded[i].size(0))
                                        : at::zeros_like(encoded[i]));
  }
  if (!roots.empty()) torch::autograd::backward(roots, gradients);
}

}  // namespace

LossShare forward_backward(Method& method, const Phase& phase, const Batch& batch,
                           const StepContext& context, bool autocast, GradientSum& gradients) {
  const Encoding encoding{method, phase, batch, context, autocast};
  const int64_t chunks = batch.cut.chunks();
  const int rank = context.communicators.loss->rank();
  TORCH_CHECK(chunks > 0, "the batch of step ", batch.step, " says nothing of how it is cut");
  gradients.zero();
  context.enter("forward");
  std::vector<Tensors> others;
  {
    const c10::NoGradGuard no_grad;
    for (int64_t chunk = 1; chunk < chunks; ++chunk) others.push_back(encode(encoding, chunk));
  }
  discard_statistics(method);
  Tensors encoded = encode(encoding, 0);
  const Tensors leaves = leaves_of(encoded, std::exchange(others, {}));
  LossShare loss = [&] {
    const AutocastGuard guard(context.communicators.loss->device().type(), autocast);
    return method.contrast(phase, leaves, batch, context);
  }();
  context.enter("backward");
  loss.share.backward();
  loss.share = loss.share.detach();
  int64_t row = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    if (chunk > 0) {
      context.enter("forward");
      encoded = encode(encoding, chunk);
      context.enter("backward");
    }
    if (chunk + 1 == chunks) gradients.arm();
    back_propagate(encoded, leaves, row);
    row += batch.cut.share[static_cast<size_t>(chunk)][static_cast<size_t>(rank)].count();
    encoded.clear();
  }
  return loss;
}

}  // namespace cltrain
