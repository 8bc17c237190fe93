#include "bench/ntxent_methods.h"

#include "dist/contrast.h"
#include "dist/gather.h"
#include "ops/nt_xent.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

namespace cltrain::ntxent {
namespace {

Outcome back_propagated(const at::Tensor& loss, const Inputs& inputs) {
  loss.backward();
  Outcome outcome{loss.detach(), inputs.view0.grad(), inputs.view1.grad(),
                  inputs.temperature.grad()};
  for (const at::Tensor* leaf : {&inputs.view0, &inputs.view1, &inputs.temperature})
    leaf->mutable_grad().reset();
  return outcome;
}

Outcome cltrain_engine(const Inputs& inputs, Exchange exchange) {
  const at::Tensor loss = global_nt_xent(
      inputs.view0, inputs.view1, inputs.temperature.reciprocal(), inputs.rows, inputs.communicator,
      [](const char*) {}, {.exchange = exchange, .bfloat16 = inputs.bfloat16});
  return back_propagated(loss, inputs);
}

// The readable loss, with candidates gathered from all ranks.
Outcome dense(const Inputs& inputs) {
  const Communicator& communicator = inputs.communicator;
  const auto& rows = inputs.rows;
  const auto type = inputs.bfloat16 ? at::kBFloat16 : at::kFloat;
  const int64_t images = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  const int64_t first =
      std::accumulate(rows.begin(), rows.begin() + communicator.rank(), int64_t{0});
  // Gathered as they are: their gradients are summed over the ranks in float32.
  const at::Tensor candidates = at::cat({gather_with_grad(inputs.view0, rows, communicator),
                                         gather_with_grad(inputs.view1, rows, communicator)});
  const at::Tensor anchors = at::cat({inputs.view0, inputs.view1});
  const at::Tensor mine = at::arange(first, first + inputs.view0.size(0), at::kLong);
  const at::Tensor loss =
      nt_xent_share(anchors.to(type), candidates.to(type), at::cat({mine, mine + images}),
                    at::cat({mine + images, mine}), inputs.temperature.reciprocal(), 2 * images);
  return back_propagated(loss, inputs);
}

constexpr int64_t kTile = 512;

// What one writes in an afternoon: tiles above the diagonal, made twice; exp against the largest
// possible logit, 1 / temperature, which unit rows allow.
Outcome tiles(const Inputs& inputs) {
  TORCH_CHECK(inputs.communicator.size() == 1, "tiles: one rank only");
  const c10::NoGradGuard no_grad;
  const auto type = inputs.bfloat16 ? at::kBFloat16 : at::kFloat;
  const at::Tensor z = at::cat({inputs.view0, inputs.view1}).to(type);
  const int64_t count = z.size(0), half = count / 2;
  const double temperature = inputs.temperature.item<double>(), scale = 1 / temperature;
  const auto part = [&](const at::Tensor& x, int64_t first) {
    return x.narrow(0, first, std::min(kTile, count - first));
  };
  const auto exponentials = [&](int64_t i, int64_t j) {
    at::Tensor e = at::mm(part(z, i), part(z, j).t()).to(at::kFloat);
    e.mul_(scale).sub_(scale).exp_();
    return i == j ? e.fill_diagonal_(0) : e;
  };
  const at::Tensor sums = at::zeros({count}, at::kFloat);
  for (int64_t i = 0; i < count; i += kTile)
    for (int64_t j = i; j < count; j += kTile) {
      const at::Tensor e = exponentials(i, j);
      part(sums, i).add_(e.sum(1));
      if (i != j) part(sums, j).add_(e.sum(0));
    }
  const at::Tensor partner = at::cat({inputs.view1, inputs.view0});
  const at::Tensor wide = z.to(at::kFloat);
  const at::Tensor loss = (sums.log().sum(at::kDouble) + scale * static_cast<double>(count) -
                           scale * (wide * partner).sum(at::kDouble)) /
                          count;

  const at::Tensor inverse = sums.reciprocal();
  at::Tensor gradient = at::zeros_like(wide);
  for (int64_t i = 0; i < count; i += kTile)
    for (int64_t j = i; j < count; j += kTile) {
      at::Tensor w = exponentials(i, j);
      w = w.mul_(part(inverse, i).unsqueeze(1) + part(inverse, j).unsqueeze(0)).to(type);
      if (inputs.bfloat16) {  // products come out in bfloat16: they are summed in float32
        part(gradient, i).add_(at::mm(w, part(z, j)));
        if (i != j) part(gradient, j).add_(at::mm(w.t(), part(z, i)));
      } else {
        part(gradient, i).addmm_(w, part(z, j));
        if (i != j) part(gradient, j).addmm_(w.t(), part(z, i));
      }
    }
  gradient.sub_(partner, 2).mul_(scale / static_cast<double>(count));
  // Each pair is in the gradient of both of its rows.
  const at::Tensor by_scale = (gradient * wide).sum(at::kDouble) / (2 * scale);
  return {loss, gradient.narrow(0, 0, half), gradient.narrow(0, half, half),
          -by_scale / (temperature * temperature)};
}

}  // namespace

Method method_named(const std::string& name) {
  const std::string ours = "cltrain-";
  if (name == "dense") return dense;
  if (name == "tiles") return tiles;
  if (name == "cltrain") return method_named("cltrain-gather");
  if (name.rfind(ours, 0) == 0) {
    const Exchange exchange = exchange_named(name.substr(ours.size()));
    return [exchange](const Inputs& inputs) { return cltrain_engine(inputs, exchange); };
  }
  throw std::invalid_argument(
      "--worker: received '" + name +
      "'; allowed: cltrain, cltrain-gather, cltrain-balanced, cltrain-ring, dense, tiles, floor");
}

}  // namespace cltrain::ntxent
