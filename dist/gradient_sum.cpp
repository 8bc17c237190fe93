#include "dist/gradient_sum.h"

#include <chrono>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace cltrain {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Bucket {
  at::Tensor flat;
  size_t parameters = 0;
  size_t pending = 0;
  c10::intrusive_ptr<c10d::Work> work;
};

struct Slot {
  std::string name;
  at::Tensor parameter;
  at::Tensor view;  // of its bucket, with the parameter's shape
  size_t bucket = 0;
  bool reached = false;
  std::shared_ptr<torch::autograd::Node> accumulator;  // keeps the hook alive
};

}  // namespace

struct GradientSum::State {
  const Communicator& communicator;
  std::vector<Bucket> buckets;
  std::vector<Slot> slots;  // in reverse registration order
  bool open = false;  // between zero() and finish(): a parameter may be in several sums, by phase
  bool armed = false;
  size_t next = 0;  // first bucket not yet launched

  // Buckets start in order whatever the order in which they fill, so that ranks agree.
  void launch_full() {
    while (next < buckets.size() && buckets[next].pending == 0) launch_next();
  }
  void launch_next() {
    std::vector<at::Tensor> tensors{buckets[next].flat};
    const auto start = Clock::now();
    buckets[next].work = communicator.group()->allreduce(tensors);
    communicator.count(Collective::kAllReduce, static_cast<int64_t>(tensors[0].nbytes()),
                       seconds_since(start));
    ++next;
  }
  void accumulated(size_t index) {
    if (!open) return;
    Slot& slot = slots[index];
    slot.reached = true;
    TORCH_CHECK(slot.parameter.grad().data_ptr() == slot.view.data_ptr(), "the gradient of ",
                slot.name,
                " left its bucket: do not replace gradients between zero() and finish()");
    if (!armed) return;
    --buckets[slot.bucket].pending;
    launch_full();
  }
};

GradientSum::GradientSum(std::vector<std::pair<std::string, at::Tensor>> parameters,
                         const Communicator& communicator, int64_t bucket_bytes)
    : state_(new State{communicator, {}, {}}) {
  TORCH_CHECK(!parameters.empty(), "GradientSum needs at least one parameter");
  std::vector<int64_t> lengths;
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it) {
    auto& [name, parameter] = *it;
    const int64_t bytes = static_cast<int64_t>(parameter.nbytes());
    const bool fits =
        !lengths.empty() && lengths.back() * parameter.element_size() + bytes <= bucket_bytes;
    if (!fits) {
      lengths.push_back(0);
      state_->buckets.emplace_back();
    }
    lengths.back() += parameter.numel();
    ++state_->buckets.back().parameters;
    state_->slots.push_back({name, parameter, {}, state_->buckets.size() - 1, false, nullptr});
  }
  const auto options = parameters.front().second.options().requires_grad(false);
  for (size_t b = 0; b < lengths.size(); ++b)
    state_->buckets[b].flat = at::zeros({lengths[b]}, options);
  std::vector<int64_t> used(lengths.size(), 0);
  for (size_t i = 0; i < state_->slots.size(); ++i) {
    Slot& slot = state_->slots[i];
    slot.view = state_->buckets[slot.bucket]
                    .flat.narrow(0, used[slot.bucket], slot.parameter.numel())
                    .view(slot.parameter.sizes());
    used[slot.bucket] += slot.parameter.numel();
    TORCH_CHECK(slot.parameter.requires_grad(), slot.name, " is frozen: no gradient to sum");
    slot.accumulator = torch::autograd::impl::grad_accumulator(slot.parameter);
    slot.accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
        [state = std::weak_ptr<State>(state_), i](const torch::autograd::variable_list& outputs,
                                                  const torch::autograd::variable_list&) {
          if (const auto alive = state.lock()) alive->accumulated(i);
          return outputs;
        }));
  }
}

GradientSum::~GradientSum() {
  for (Slot& slot : state_->slots) slot.parameter.mutable_grad().reset();
}

void GradientSum::zero() {
  state_->open = true;
  for (Bucket& bucket : state_->buckets) bucket.flat.zero_();
  for (Slot& slot : state_->slots) {
    slot.parameter.mutable_grad() = slot.view;
    slot.reached = false;
  }
}

void GradientSum::arm() {
  state_->armed = true;
  state_->next = 0;
  for (Bucket& bucket : state_->buckets) bucket.pending = bucket.parameters;
}

std::vector<std::string> GradientSum::finish() {
  TORCH_CHECK(state_->armed, "GradientSum::finish() without arm() before the last backward");
  state_->armed = state_->open = false;
  while (state_->next < state_->buckets.size()) state_->launch_next();
  const auto start = Clock::now();
  for (Bucket& bucket : state_->buckets) {
    bucket.work->wait();
    bucket.work.reset();
  }
  state_->communicator.count(Collective::kAllReduce, 0, seconds_since(start));
  std::vector<std::string> unreached;
  for (const Slot& slot : state_->slots)
    if (!slot.reached) unreached.push_back(slot.name);
  return unreached;
}

}  // namespace cltrain
