// The sequence encoder in a training step: forward and backward of the recommendation pass and of
// two augmented views behind SRMA's extra layers, dropout on, no loss and no optimiser. Rows are as
// short as Beauty's. Median milliseconds a step:
//   whole   views with all their slots, as the flattened contrast reads them
//   ragged  views from their first item on, as the contrast of last slots or means reads them
//
// usage: sequence_encoder_bench [ROUNDS] [THREADS]     (bench/sequence_encoder.py has the peer)
#include "models/nets/augmented_layers.h"
#include "models/nets/sequence_encoder.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <malloc.h>

namespace {

using namespace cltrain;

constexpr int64_t kItems = 12101, kLength = 50, kBatch = 256;

/// 2 to 50 items a row, 6 to 7 on average; the same formula as in the peer.
at::Tensor made_items(int64_t rows) {
  at::Tensor items = at::zeros({rows, kLength}, at::kLong);
  auto out = items.accessor<int64_t, 2>();
  for (int64_t row = 0; row < rows; ++row) {
    const double u = std::fmod(static_cast<double>(row) * 0.6180339887498949, 1.0);
    const auto count = std::min<int64_t>(kLength, 2 + static_cast<int64_t>(-5 * std::log(1 - u)));
    for (int64_t i = 0; i < count; ++i)
      out[row][kLength - 1 - i] = 1 + (row * 7919 + i * 104729) % kItems;
  }
  return items;
}

struct Networks {
  std::shared_ptr<SequenceEncoder> encoder;
  std::shared_ptr<AugmentedLayers> extra;
};

DropoutDraws draws_of(int64_t rows, int64_t step, uint32_t view) {
  return {true, random_key(1, Purpose::kDropout, static_cast<uint64_t>(step)),
          at::arange(rows, at::kLong), view};
}

void step_of(Networks& nets, const at::Tensor& items, const at::Tensor& views, bool whole,
             int64_t step) {
  nets.encoder->zero_grad();
  nets.extra->zero_grad();
  const TokenRows rows = ragged_rows(items), pair = whole ? whole_rows(views) : ragged_rows(views);
  const at::Tensor scored = nets.encoder->forward(rows, draws_of(kBatch, step, 0));
  const DropoutDraws draws = draws_of(2 * kBatch, step, 1);
  const at::Tensor seen =
      nets.extra->forward(nets.encoder->forward(pair, draws), pair, {0, 2}, draws);
  ((scored * scored.detach()).sum() + (seen * seen.detach()).sum()).backward();
}

double median_milliseconds(Networks& nets, bool whole, int rounds) {
  const at::Tensor items = made_items(kBatch), views = made_items(2 * kBatch);
  std::vector<double> times;
  for (int round = -3; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    step_of(nets, items, views, whole, round + 3);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    if (round >= 0) times.push_back(took.count());
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[rounds / 2];
}

}  // namespace

int main(int count, char** arguments) {
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // as the program does (dist/world.cpp)
  mallopt(M_TRIM_THRESHOLD, 2147483647);
  const int rounds = count > 1 ? std::stoi(arguments[1]) : 30;
  at::set_num_threads(count > 2 ? std::stoi(arguments[2]) : 2);
  Networks nets{std::make_shared<SequenceEncoder>(
                    SequenceEncoderSettings{.items = kItems, .max_length = kLength}),
                std::make_shared<AugmentedLayers>(AugmentedLayerSettings{.first_site = 7})};
  initialize_sequence_layers(*nets.encoder, 1, "encoder");
  initialize_sequence_layers(*nets.extra, 1, "augmented_layers");
  for (const bool whole : {true, false})
    std::printf("%s %.2f\n", whole ? "whole" : "ragged", median_milliseconds(nets, whole, rounds));
}
