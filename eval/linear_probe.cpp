#include "eval/linear_probe.h"

#include "eval/knn.h"
#include "eval/lbfgs.h"
#include "eval/softmax_regression.h"
#include "ops/keyed_random.h"
#include "ops/simd.h"
#include "ops/unit_rows.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <sstream>
#include <utility>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

at::Tensor sum_over_ranks(at::Tensor tensor, const Communicator& communicator) {
  communicator.all_reduce_sum(tensor);
  return tensor;
}

double sum_over_ranks(double value, const Communicator& communicator) {
  return sum_over_ranks(at::full({1}, value, at::kDouble), communicator).item<double>();
}

// One step of gradient descent with momentum on part of the weights.
CLTRAIN_SIMD void descend(float* weight, float* velocity, const float* gradient, int64_t count,
                          float lr, float momentum, float decay) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    velocity[i] = momentum * velocity[i] + gradient[i] + decay * weight[i];
    weight[i] -= lr * velocity[i];
  }
}

// The training of the weights on the rows of all ranks.
class Training {
 public:
  Training(SoftmaxRows& rows, const ProbeOptions& options, const Communicator& communicator)
      : rows_(rows),
        options_(options),
        communicator_(communicator),
        weights_(static_cast<size_t>(rows.shape().size())),
        gradient_(at::zeros({rows.shape().size()}, at::kFloat)) {
    const std::vector<int64_t> counts = communicator.all_gather_count(rows.count());
    total_ = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    first_ = std::accumulate(counts.begin(), counts.begin() + communicator.rank(), int64_t{0});
    TORCH_CHECK(total_ > 0, "linear probe: no rank has a training row");
  }

  int64_t sgd(uint64_t seed);
  int64_t lbfgs();
  /// Mean cross entropy over all rows; `weights_` as they are.
  double loss() {
    float* unused = gradient_.mutable_data_ptr<float>();
    return sum_over_ranks(rows_.full_gradient(weights_.data(), 0, unused), communicator_) /
           static_cast<double>(total_);
  }
  double penalty() const { return penalty_of(weights_); }
  int64_t total() const { return total_; }
  const std::vector<float>& weights() const { return weights_; }

 private:
  void step(std::span<const int64_t> mine, int64_t batch, float lr);
  double penalty_of(const std::vector<float>& weights) const;
  int64_t decayed() const { return rows_.shape().features * rows_.shape().lanes(); }

  SoftmaxRows& rows_;
  const ProbeOptions& options_;
  const Communicator& communicator_;
  std::vector<float> weights_, velocity_;
  at::Tensor gradient_;
  int64_t total_ = 0, first_ = 0;  // rows of all ranks, and of those before this one
};

double Training::penalty_of(const std::vector<float>& weights) const {
  double squares = 0;
  for (int64_t i = 0; i < decayed(); ++i) squares += static_cast<double>(weights[i]) * weights[i];
  return options_.weight_decay / 2 * squares;
}

// `batch` rows over all ranks, of which this rank holds `mine`.
void Training::step(std::span<const int64_t> mine, int64_t batch, float lr) {
  float* gradient = gradient_.mutable_data_ptr<float>();
  rows_.gradient(weights_.data(), mine, 1.0f / static_cast<float>(batch), gradient);
  communicator_.all_reduce_sum(gradient_);
  const auto momentum = static_cast<float>(options_.momentum);
  const auto decay = static_cast<float>(options_.weight_decay);
  const int64_t lanes = rows_.shape().lanes(), features = rows_.shape().features;
  // Small models are not worth waking other threads.
  const int64_t grain = std::max<int64_t>(1, 65536 / lanes);
  at::parallel_for(0, rows_.shape().depth(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      descend(weights_.data() + row * lanes, velocity_.data() + row * lanes, gradient + row * lanes,
              lanes, lr, momentum, row < features ? decay : 0.0f);
  });
}

int64_t Training::sgd(uint64_t seed) {
  velocity_.assign(weights_.size(), 0.0f);
  const int64_t steps = options_.epochs * ((total_ + options_.batch - 1) / options_.batch);
  std::vector<int64_t> order(static_cast<size_t>(total_)), mine;
  std::iota(order.begin(), order.end(), int64_t{0});
  int64_t step_now = 0;
  for (int64_t epoch = 0; epoch < options_.epochs; ++epoch) {
    std::iota(order.begin(), order.end(), int64_t{0});
    KeyedStream draws(random_key(seed, Purpose::kProbe, static_cast<uint64_t>(epoch)), 0, 0, 0);
    for (size_t left = order.size(); left > 1; --left)
      std::swap(order[left - 1], order[draws.below(left)]);
    for (int64_t begin = 0; begin < total_; begin += options_.batch, ++step_now) {
      const int64_t end = std::min(begin + options_.batch, total_);
      mine.clear();
      for (int64_t i = begin; i < end; ++i)
        if (order[i] >= first_ && order[i] < first_ + rows_.count())
          mine.push_back(order[i] - first_);
      const double t = static_cast<double>(step_now) / static_cast<double>(steps);
      const double factor = options_.schedule == "cosine" ? (1 + std::cos(M_PI * t)) / 2 : 1.0;
      step(mine, end - begin, static_cast<float>(options_.lr * factor));
    }
  }
  return steps;
}

int64_t Training::lbfgs() {
  const auto decay = static_cast<float>(options_.weight_decay);
  const SmoothFunction objective = [&](const std::vector<float>& point,
                                       std::vector<float>& gradient) {
    float* sum = gradient_.mutable_data_ptr<float>();
    const double mine = rows_.full_gradient(point.data(), 1.0f / static_cast<float>(total_), sum);
    communicator_.all_reduce_sum(gradient_);
    for (size_t i = 0; i < point.size(); ++i)
      gradient[i] = sum[i] + (static_cast<int64_t>(i) < decayed() ? decay * point[i] : 0.0f);
    return sum_over_ranks(mine, communicator_) / static_cast<double>(total_) + penalty_of(point);
  };
  return minimize(objective, weights_, {.iterations = options_.epochs}).iterations;
}

void require_finite(const at::Tensor& vectors, const char* what, const Communicator& communicator) {
  const int64_t wrong = vectors.numel() - at::isfinite(vectors).sum().item<int64_t>();
  const double all = sum_over_ranks(static_cast<double>(wrong), communicator);
  TORCH_CHECK(all == 0, "linear probe: ", all, " features of the ", what,
              " rows are not finite numbers: look at the encoder's output");
}

Accuracy measure(const SoftmaxRows& rows, const std::vector<float>& weights,
                 const Communicator& communicator) {
  constexpr int64_t kBlock = 1024;
  const int64_t lanes = rows.shape().lanes();
  std::vector<float> logits(static_cast<size_t>(kBlock * lanes));
  AccuracyTally tally(rows.shape().classes);
  for (int64_t first = 0; first < rows.count(); first += kBlock) {
    const int64_t count = std::min(kBlock, rows.count() - first);
    rows.logits(weights.data(), first, count, logits.data());
    for (int64_t i = 0; i < count; ++i)
      tally.add(logits.data() + i * lanes, rows.label(first + i),
                -std::numeric_limits<float>::infinity());
  }
  return tally.total(communicator);
}

std::string protocol_text(const ProbeOptions& o, int64_t rows, int64_t features, uint64_t seed) {
  std::ostringstream text;
  text << "softmax regression on " << rows << " rows of " << features << " features (normalize "
       << o.normalize << "), ";
  if (o.optimizer == "sgd")
    text << "sgd, " << o.epochs << " epochs, batch " << o.batch << ", lr " << o.lr << " "
         << o.schedule << ", momentum " << o.momentum << ", seed " << seed;
  else
    text << "lbfgs, at most " << o.epochs << " iterations";
  text << ", weight decay " << o.weight_decay;
  return text.str();
}

// Some rows at a time in double: a copy of all would be twice the features.
void in_blocks(const at::Tensor& vectors, const std::function<void(const at::Tensor&)>& use) {
  constexpr int64_t kBlock = 8192;
  for (int64_t row = 0; row < vectors.size(0); row += kBlock)
    use(vectors.narrow(0, row, std::min(kBlock, vectors.size(0) - row)).to(at::kDouble));
}

}  // namespace

FeatureScaler::FeatureScaler(const at::Tensor& train, const std::string& normalize,
                             const Communicator& communicator)
    : normalize_(normalize) {
  TORCH_CHECK(normalize == "none" || normalize == "l2" || normalize == "standardize",
              "linear probe: probe.normalize is none, l2 or standardize; received ", normalize);
  if (normalize != "standardize") return;
  const double rows = sum_over_ranks(static_cast<double>(train.size(0)), communicator);
  at::Tensor sum = at::zeros({train.size(1)}, at::kDouble), squares = at::zeros_like(sum);
  in_blocks(train, [&](const at::Tensor& part) { sum += part.sum(0); });
  mean_ = sum_over_ranks(sum, communicator) / rows;
  in_blocks(train, [&](const at::Tensor& part) { squares += (part - mean_).square().sum(0); });
  const at::Tensor deviation = (sum_over_ranks(squares, communicator) / rows).sqrt();
  // A feature that never changes tells nothing: it becomes 0.
  const at::Tensor flat = deviation <= 1e-12 * (mean_.abs() + 1e-30);
  scale_ = at::where(flat, at::zeros_like(deviation), deviation.reciprocal()) /
           std::sqrt(static_cast<double>(train.size(1)));
}

at::Tensor FeatureScaler::operator()(const at::Tensor& vectors) const {
  if (normalize_ == "none") return vectors.to(at::kFloat);
  if (normalize_ == "l2") return unit_rows(vectors.to(at::kFloat));
  std::vector<at::Tensor> parts{at::empty({0, vectors.size(1)}, at::kFloat)};
  in_blocks(vectors, [&](const at::Tensor& part) {
    parts.push_back(((part - mean_) * scale_).to(at::kFloat));
  });
  return at::cat(parts);
}

ProbeResult linear_probe(const Features& train, const Features& test, int64_t classes,
                         const ProbeOptions& options, uint64_t seed,
                         const Communicator& communicator) {
  check_labels(train.labels, classes, "linear probe, training rows");
  check_labels(test.labels, classes, "linear probe, test rows");
  const at::Tensor train_vectors = train.vectors.cpu(), test_vectors = test.vectors.cpu();
  require_finite(train_vectors, "training", communicator);
  require_finite(test_vectors, "test", communicator);
  const FeatureScaler scaled(train_vectors, options.normalize, communicator);
  SoftmaxRows rows(scaled(train_vectors), train.labels.cpu(), classes);
  const SoftmaxRows held_out(scaled(test_vectors), test.labels.cpu(), classes);
  Training training(rows, options, communicator);
  ProbeResult result;
  result.iterations = options.optimizer == "lbfgs" ? training.lbfgs() : training.sgd(seed);
  result.loss = training.loss();
  TORCH_CHECK(std::isfinite(result.loss), "linear probe: the loss is ", result.loss, " after ",
              result.iterations, " steps with probe.lr=", options.lr,
              " and probe.normalize=", options.normalize, ": try a smaller probe.lr");
  result.objective = result.loss + training.penalty();
  static_cast<Accuracy&>(result) = measure(held_out, training.weights(), communicator);
  const SoftmaxShape shape = rows.shape();
  result.protocol = protocol_text(options, training.total(), shape.features, seed);
  const at::Tensor all = at::from_blob(const_cast<float*>(training.weights().data()),
                                       {shape.depth(), shape.lanes()}, at::kFloat);
  result.weight = all.narrow(0, 0, shape.features).narrow(1, 0, classes).t().clone();
  result.bias = all.select(0, shape.features).narrow(0, 0, classes).clone();
  return result;
}

}  // namespace cltrain
