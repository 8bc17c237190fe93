// SGD, LARS and AdamW over ATen's multi-tensor (_foreach_) operations: one pass a quantity, not one
// a parameter.
//
// Parameters with fewer than two dimensions (biases, norms, temperatures) are excluded from weight
// decay (unless optim.decay_all) and from LARS's adaptation. Gradients must be present on every
// parameter (GradientSum sees to it) and may be overwritten. The learning rate comes from outside
// with each update. One thread; the same calls on every rank give the same bits.
#pragma once

#include "models/method.h"
#include "train/options.h"

#include <memory>
#include <string>
#include <vector>

namespace cltrain {

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  /// One update of every parameter of the group.
  virtual void update(double learning_rate) = 0;
  /// The state to save, named "<group>.<quantity>.<parameter>"; tensors are written in place on
  /// resume.
  virtual std::vector<NamedTensor> state() const = 0;
};

/// Builds the optimiser that `options` name.
std::unique_ptr<Optimizer> make_optimizer(const OptimOptions& options, const ParameterGroup& group);

}  // namespace cltrain
