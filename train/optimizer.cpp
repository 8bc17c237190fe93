#include "train/optimizer.h"

#include <cmath>

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

namespace cltrain {
namespace {

using Tensors = std::vector<at::Tensor>;

/// The group's tensors, those with decay (and LARS adaptation) first.
struct Sorted {
  Tensors parameters;
  std::vector<std::string> names;
  size_t adapted = 0;  // the first so many

  Tensors gradients() const {
    Tensors result;
    for (const at::Tensor& parameter : parameters) result.push_back(parameter.grad());
    return result;
  }
  static Tensors first(const Tensors& all, size_t count) {
    return {all.begin(), all.begin() + static_cast<int64_t>(count)};
  }
};

Sorted sort(const ParameterGroup& group, bool adapt_all) {
  Sorted sorted;
  for (const bool adapted : {true, false}) {
    for (const auto& [name, parameter] : group.parameters) {
      if ((adapt_all || parameter.dim() > 1) != adapted) continue;
      sorted.parameters.push_back(parameter);
      sorted.names.push_back(name);
    }
    if (adapted) sorted.adapted = sorted.parameters.size();
  }
  return sorted;
}

Tensors zeros_like(const Tensors& tensors) {
  Tensors result;
  for (const at::Tensor& tensor : tensors) result.push_back(at::zeros_like(tensor).detach());
  return result;
}

std::vector<NamedTensor> named(const std::string& group, const std::string& quantity,
                               const Sorted& sorted, const Tensors& tensors) {
  std::vector<NamedTensor> result;
  for (size_t i = 0; i < tensors.size(); ++i)
    result.emplace_back(group + "." + quantity + "." + sorted.names[i], tensors[i]);
  return result;
}

// What SGD and LARS share: the sorted parameters and a velocity for each.
class WithVelocity : public Optimizer {
 public:
  WithVelocity(const OptimOptions& options, const ParameterGroup& group, bool adapt_all)
      : options_(options),
        group_(group.name),
        sorted_(sort(group, adapt_all)),
        velocity_(zeros_like(sorted_.parameters)) {}
  std::vector<NamedTensor> state() const override {
    return named(group_, "velocity", sorted_, velocity_);
  }

 protected:
  const OptimOptions options_;
  const std::string group_;
  Sorted sorted_;
  Tensors velocity_;
};

// SGD with momentum, Nesterov optional; weight decay joins the gradient (Sutskever et al. 2013, in
// the form without dampening).
class Sgd : public WithVelocity {
 public:
  Sgd(const OptimOptions& options, const ParameterGroup& group)
      : WithVelocity(options, group, options.decay_all) {}

  void update(double learning_rate) override {
    const c10::NoGradGuard no_grad;
    const Tensors gradients = sorted_.gradients();
    if (options_.weight_decay > 0 && sorted_.adapted > 0)
      at::_foreach_add_(Sorted::first(gradients, sorted_.adapted),
                        Sorted::first(sorted_.parameters, sorted_.adapted), options_.weight_decay);
    at::_foreach_mul_(velocity_, options_.momentum);
    at::_foreach_add_(velocity_, gradients);
    if (options_.nesterov) {
      at::_foreach_add_(gradients, velocity_, options_.momentum);
      at::_foreach_add_(sorted_.parameters, gradients, -learning_rate);
    } else {
      at::_foreach_add_(sorted_.parameters, velocity_, -learning_rate);
    }
  }
};

// LARS: You, Gitman, Ginsburg, arXiv 1708.03888, in the form of google-research/simclr: the
// learning rate is inside the velocity, v = m v + lr * trust * (g + wd w), w -= v, with trust = eta
// |w| / |g + wd w|, and 1 where either norm is 0.
class Lars : public WithVelocity {
 public:
  Lars(const OptimOptions& options, const ParameterGroup& group)
      : WithVelocity(options, group, /*adapt_all=*/false) {}

  void update(double learning_rate) override {
    const c10::NoGradGuard no_grad;
    const Tensors gradients = sorted_.gradients();
    if (sorted_.adapted > 0) {
      const Tensors weights = Sorted::first(sorted_.parameters, sorted_.adapted);
      const Tensors adapted = Sorted::first(gradients, sorted_.adapted);
      at::_foreach_add_(adapted, weights, options_.weight_decay);
      const at::Tensor weight_norms = at::stack(at::_foreach_norm(weights));
      const at::Tensor gradient_norms = at::stack(at::_foreach_norm(adapted));
      const at::Tensor trust =
          at::where((weight_norms > 0).logical_and(gradient_norms > 0),
                    weight_norms / gradient_norms * options_.lars_eta, at::ones_like(weight_norms));
      at::_foreach_mul_(adapted, trust.unbind());
    }
    at::_foreach_mul_(velocity_, options_.momentum);
    at::_foreach_add_(velocity_, gradients, learning_rate);
    at::_foreach_sub_(sorted_.parameters, velocity_);
  }
};

// AdamW: Loshchilov and Hutter, arXiv 1711.05101, algorithm 2, bias-corrected.
class AdamW : public Optimizer {
 public:
  AdamW(const OptimOptions& options, const ParameterGroup& group)
      : options_(options),
        group_(group.name),
        sorted_(sort(group, options.decay_all)),
        first_(zeros_like(sorted_.parameters)),
        second_(zeros_like(sorted_.parameters)),
        updates_(at::zeros({}, at::kLong)) {}

  void update(double learning_rate) override {
    const c10::NoGradGuard no_grad;
    const Tensors gradients = sorted_.gradients();
    updates_.add_(1);
    const auto count = static_cast<double>(updates_.item<int64_t>());
    if (sorted_.adapted > 0)
      at::_foreach_mul_(Sorted::first(sorted_.parameters, sorted_.adapted),
                        1 - learning_rate * options_.weight_decay);
    at::_foreach_lerp_(first_, gradients, 1 - options_.beta1);
    at::_foreach_mul_(second_, options_.beta2);
    at::_foreach_addcmul_(second_, gradients, gradients, 1 - options_.beta2);
    Tensors denominator = at::_foreach_sqrt(second_);
    at::_foreach_div_(denominator, std::sqrt(1 - std::pow(options_.beta2, count)));
    at::_foreach_add_(denominator, options_.epsilon);
    at::_foreach_addcdiv_(sorted_.parameters, first_, denominator,
                          -learning_rate / (1 - std::pow(options_.beta1, count)));
  }
  std::vector<NamedTensor> state() const override {
    std::vector<NamedTensor> all = named(group_, "first_moment", sorted_, first_);
    for (NamedTensor& item : named(group_, "second_moment", sorted_, second_))
      all.push_back(std::move(item));
    all.emplace_back(group_ + ".updates", updates_);
    return all;
  }

 private:
  OptimOptions options_;
  std::string group_;
  Sorted sorted_;
  Tensors first_, second_;
  at::Tensor updates_;
};

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimOptions& options,
                                          const ParameterGroup& group) {
  if (options.name == "sgd") return std::make_unique<Sgd>(options, group);
  if (options.name == "lars") return std::make_unique<Lars>(options, group);
  TORCH_CHECK(options.name == "adamw", "no optimiser named '", options.name,
              "'; allowed: sgd, lars, adamw");
  return std::make_unique<AdamW>(options, group);
}

}  // namespace cltrain
