// A step on MoCo's queue, shared out over the ranks, beside the replicated queue that other code
// has: loss forward and backward to the queries, then the push of the batch's keys.
//
//   sharded      K / R keys a rank; every rank sees all queries; streamed (dist/global_lse.h)
//   replicated   K keys on every rank, its own queries; logits [b, K + 1] and cross-entropy, as
//                facebookresearch/moco has it, in LibTorch
// In turns, medians. One line a length of the queue; rank 0 prints.
//
// usage: mpirun -n R queue_bench [ROUNDS]
#include "dist/contrast.h"
#include "dist/sharded_queue.h"
#include "ops/allocation_meter.h"
#include "ops/row_range.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>

namespace {

using namespace cltrain;

constexpr int64_t kBatch = 256, kWidth = 128;
constexpr double kTemperature = 0.2;

struct Batch {
  at::Tensor queries, keys;  ///< this rank's, [b, D]
  std::vector<int64_t> rows, places;
};

at::Tensor unit_vectors(int64_t rows) {
  const at::Tensor drawn = at::randn({rows, kWidth});
  return drawn / drawn.norm(2, {1}, /*keepdim=*/true);
}

Batch make_batch(const World& world) {
  Batch batch;
  for (int rank = 0; rank < world.size; ++rank)
    batch.rows.push_back(rank_share(kBatch, rank, world.size).count());
  batch.places.resize(static_cast<size_t>(kBatch));
  std::iota(batch.places.begin(), batch.places.end(), int64_t{0});
  const int64_t own = batch.rows[static_cast<size_t>(world.rank)];
  batch.queries = unit_vectors(own).requires_grad_();
  batch.keys = unit_vectors(own);
  return batch;
}

void sharded_step(const Batch& batch, ShardedQueue& queue, const Communicator& ranks) {
  batch.queries.mutable_grad().reset();
  const at::Tensor scale = at::full({}, 1 / kTemperature, at::kDouble);
  global_queue_info_nce(batch.queries, batch.keys, queue, scale, batch.rows, ranks).backward();
  queue.push({batch.keys}, batch.rows, batch.places);
}

void replicated_step(const Batch& batch, at::Tensor& queue, int64_t& next,
                     const Communicator& ranks) {
  batch.queries.mutable_grad().reset();
  const at::Tensor positive = (batch.queries * batch.keys).sum(1, /*keepdim=*/true);
  const at::Tensor logits = at::cat({positive, batch.queries.mm(queue.t())}, 1) / kTemperature;
  at::cross_entropy_loss(logits, at::zeros({logits.size(0)}, at::kLong)).backward();
  const at::Tensor all = ranks.all_gather(batch.keys, batch.rows);
  queue.narrow(0, next, kBatch).copy_(all);
  next = (next + kBatch) % queue.size(0);
}

struct Cost {
  double seconds = 0;  ///< median
  double bytes = 0;    ///< of tensors at the peak of a step, over the queue itself
};

Cost measure(int rounds, const Communicator& ranks, const std::function<void()>& step) {
  step();
  std::vector<double> seconds;
  Cost cost;
  for (int round = 0; round < rounds; ++round) {
    ranks.barrier();
    const AllocationMeter meter;
    const auto started = std::chrono::steady_clock::now();
    step();
    ranks.barrier();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
    cost.bytes = std::max(cost.bytes, static_cast<double>(meter.peak()));
  }
  std::sort(seconds.begin(), seconds.end());
  cost.seconds = seconds[seconds.size() / 2];
  return cost;
}

}  // namespace

int main(int count, char** words) {
  const int rounds = count > 1 ? std::stoi(words[1]) : 7;
  World world = open_world({.device = "cpu"});
  {
    const Communicators communicators = open_communicators(world);
    const Communicator& ranks = *communicators.loss;
    if (world.rank == 0)
      std::printf(
          "%d rank(s), %ld queries of width %ld a step; a rank: queue + most tensors of a step\n"
          "%9s  %24s  %28s  %s\n",
          world.size, kBatch, kWidth, "keys", "sharded", "replicated", "replicated / sharded");
    for (const int64_t keys : {65536, 1048576}) {
      const Batch batch = make_batch(world);
      const auto megabytes = [&](int64_t held) {
        return static_cast<double>(held * kWidth) * sizeof(float) / 1e6;
      };
      Cost sharded, replicated;
      {
        ShardedQueue queue(keys, kWidth, 1, ranks);
        sharded = measure(rounds, ranks, [&] { sharded_step(batch, queue, ranks); });
      }
      {
        at::Tensor queue = unit_vectors(keys);
        int64_t next = 0;
        replicated = measure(rounds, ranks, [&] { replicated_step(batch, queue, next, ranks); });
      }
      if (world.rank == 0)
        std::printf("%9ld  %8.1f ms %6.1f + %4.0f MB  %8.1f ms %6.1f + %6.0f MB  %.2f x\n", keys,
                    sharded.seconds * 1e3, megabytes(keys / world.size), sharded.bytes / 1e6,
                    replicated.seconds * 1e3, megabytes(keys), replicated.bytes / 1e6,
                    replicated.seconds / sharded.seconds);
    }
  }
  close_world(world);
}
