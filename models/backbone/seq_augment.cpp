#include "models/backbone/seq_augment.h"

#include "models/backbone/yaml_options.h"
#include "ops/initial_weights.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

namespace cltrain {
namespace {

/// Puts a random choice of `count` of all into the first places, each choice equally likely.
void draw_to_front(std::span<int64_t> all, int64_t count, KeyedStream& draw) {
  for (size_t i = 0; i < static_cast<size_t>(count); ++i)
    std::swap(all[i], all[i + draw.below(all.size() - i)]);
}

int64_t share_of(int64_t length, double rate) {
  return static_cast<int64_t>(std::floor(static_cast<double>(length) * rate));
}

/// Where a run of `count` of `length` steps begins.
int64_t drawn_start(int64_t length, int64_t count, KeyedStream& draw) {
  return static_cast<int64_t>(draw.below(static_cast<uint64_t>(length - count + 1)));
}

}  // namespace

int64_t augment_steps(const SeqAugmentSettings& settings, int64_t length, KeyedStream& draw,
                      int64_t slots, int64_t* out) {
  std::fill_n(out, slots, kNoStep);
  std::iota(out, out + length, int64_t{0});
  std::vector<char> on;
  if (settings.crop_rate < 1) on.push_back('c');
  if (settings.mask_rate > 0) on.push_back('m');
  if (settings.reorder_rate > 0) on.push_back('r');
  if (length == 0) return 0;
  switch (on.at(draw.below(on.size()))) {
    case 'c': {
      const int64_t kept = std::max<int64_t>(1, share_of(length, settings.crop_rate));
      std::iota(out, out + kept, drawn_start(length, kept, draw));
      std::fill(out + kept, out + length, kNoStep);
      return kept;
    }
    case 'm': {
      std::vector<int64_t> order(out, out + length);
      const int64_t masked = share_of(length, settings.mask_rate);
      draw_to_front(order, masked, draw);
      for (int64_t i = 0; i < masked; ++i) out[order[static_cast<size_t>(i)]] = kMaskStep;
      return length;
    }
    default: {
      const int64_t count = share_of(length, settings.reorder_rate);
      const int64_t start = drawn_start(length, count, draw);
      draw_to_front({out + start, static_cast<size_t>(count)}, count, draw);
      return length;
    }
  }
}

SeqAugment::SeqAugment(const YamlNode& options, Mistakes& mistakes) {
  OptionTable table;
  table.add("mask_rate", settings_.mask_rate,
            {.doc = "share of the steps that are masked; 0: off", .min = 0, .max = 1});
  table.add("crop_rate", settings_.crop_rate,
            {.doc = "share of the steps that are kept; 1: off", .min = 0});
  table.add("reorder_rate", settings_.reorder_rate,
            {.doc = "share of the steps that are shuffled; 0: off", .min = 0, .max = 1});
  read_options(options, "SeqAugment", table, {}, mistakes);
  if (settings_.crop_rate >= 1 && settings_.mask_rate == 0 && settings_.reorder_rate == 0)
    mistakes.add(options.place, "",
                 "SeqAugment with every operation off leaves sequences as they are; take the block "
                 "out, or switch one on");
}

void SeqAugment::build(const std::vector<BlockValue>& inputs) {
  if (inputs.size() != 1 || !inputs[0].sequence.defined())
    throw ConfigError(
        "SeqAugment takes one sequence, as an input_layer with "
        "output_seq_and_normal_feature: true gives it");
  if (mask_.defined()) check_width(mask_.size(0), inputs[0].sequence.size(2));
  if (settings_.mask_rate > 0 && !mask_.defined())
    mask_ = register_parameter("mask", at::zeros({inputs[0].sequence.size(2)}));
}

void SeqAugment::initialize_weights(uint64_t seed, const std::string& prefix) {
  if (mask_.defined())
    fill_normal(mask_, 1 / std::sqrt(static_cast<double>(mask_.size(0))), seed, prefix + ".mask");
}

BlockValue SeqAugment::forward(const std::vector<BlockValue>& inputs, const LayerCall& call) {
  const at::Tensor& steps = inputs[0].sequence;  // [b, L, C]
  if (!call.draws.training) return {{}, steps, inputs[0].lengths};
  const int64_t rows = steps.size(0), slots = steps.size(1), channels = steps.size(2);
  const at::Tensor before = inputs[0].lengths.cpu(), ids = call.draws.sample_ids.cpu();
  at::Tensor lengths = at::empty({rows}, at::kLong), from = at::empty({rows, slots}, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    KeyedStream draw(call.draws.augmentation,
                     static_cast<uint64_t>(ids.const_data_ptr<int64_t>()[row]), call.call,
                     call.first_site);
    lengths.mutable_data_ptr<int64_t>()[row] =
        augment_steps(settings_, before.const_data_ptr<int64_t>()[row], draw, slots,
                      from.mutable_data_ptr<int64_t>() + row * slots);
  }
  // Behind the steps of each row come zeros and the mask vector, to be picked like steps.
  const at::Tensor nothing = at::zeros({rows, 1, channels}, steps.options());
  const at::Tensor mask =
      mask_.defined() ? mask_.view({1, 1, channels}).expand({rows, 1, channels}) : nothing;
  from = from.masked_fill(from == kNoStep, slots).masked_fill(from == kMaskStep, slots + 1);
  const at::Tensor index = from.to(steps.device()).unsqueeze(2).expand({rows, slots, channels});
  return {{}, at::cat({steps, nothing, mask}, 1).gather(1, index), lengths.to(steps.device())};
}

}  // namespace cltrain
