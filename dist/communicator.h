// Communicator: the few collectives that cltrain uses, over a c10d ProcessGroup (NCCL for CUDA
// tensors, MpiBackend for CPU tensors). The only door between ranks: nothing outside dist/ asks how
// many there are in order to branch; on one rank every collective is the identity.
//
// Contract.
//   Order    every rank calls the same collectives of one Communicator in the same order.
//   Ranks    rows of gathered tensors are in rank order (rank-major); counts may differ by rank and
//            be zero; every rank passes the same `rows`.
//   Stream   results may be used at once on the current stream; inputs may be freed.
//   Threads  one thread at a time per Communicator; different Communicators are independent.
//   Autograd none; see dist/gather.h.
//   Failure  throws PeerLost (or ends the rank by the watchdog) naming operation, sequence number,
//            rank and time-out.
#pragma once

#include "dist/world.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace c10d {
class ProcessGroup;
class Work;
}  // namespace c10d

namespace cltrain {

enum class Collective { kAllGather, kReduceScatter, kAllReduce, kBroadcast, kSendReceive };
inline constexpr size_t kCollectiveKinds = 5;

/// What one kind of collective has cost this rank since the communicator was opened.
struct Traffic {
  int64_t bytes = 0;   ///< of the whole tensor: gathered, reduced or broadcast
  double seconds = 0;  ///< in the call; on CUDA that is the launch, and the wait of GradientSum
};

/// A tensor on its way; nothing of it may be touched before wait(). Must be waited for.
class InFlight {
 public:
  explicit InFlight(std::vector<c10::intrusive_ptr<c10d::Work>> works);
  ~InFlight();
  InFlight(InFlight&&) noexcept;
  void wait();

 private:
  std::vector<c10::intrusive_ptr<c10d::Work>> works_;
};

class Communicator {
 public:
  Communicator(c10::intrusive_ptr<c10d::ProcessGroup> group, c10::Device device);
  ~Communicator();
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const;
  int size() const;
  c10::Device device() const { return device_; }

  /// local [rows[rank], ...] -> [sum(rows), ...] in rank order.
  at::Tensor all_gather(const at::Tensor& local, const std::vector<int64_t>& rows) const;
  /// global [sum(rows), ...] -> the sum over ranks of this rank's rows, [rows[rank], ...].
  at::Tensor reduce_scatter_sum(const at::Tensor& global, const std::vector<int64_t>& rows) const;
  /// In place; the same bits on every rank.
  void all_reduce_sum(at::Tensor tensor) const;
  void all_reduce_max(at::Tensor tensor) const;
  /// In place: every rank receives root's tensor.
  void broadcast(at::Tensor tensor, int root = 0) const;
  void barrier() const;
  /// Round the ring: `outgoing` to rank + 1, `incoming` from rank - 1 (their sizes may differ; what
  /// has no elements does not travel). Both contiguous; they move while the caller computes, as far
  /// as the transport works by itself: NCCL does, Open MPI moves large messages inside its calls.
  InFlight pass_on(const at::Tensor& outgoing, at::Tensor incoming) const;

  /// The same shape on every rank: local [...] -> [ranks, ...].
  at::Tensor all_gather_each(const at::Tensor& local) const;
  /// One number a rank -> all numbers in rank order.
  std::vector<int64_t> all_gather_count(int64_t value) const;

  /// By Collective, in its order.
  const std::array<Traffic, kCollectiveKinds>& traffic() const { return traffic_; }
  /// For who calls the process group itself.
  void count(Collective collective, int64_t bytes, double seconds) const;

  /// The process group below, for GradientSum and tests.
  const c10::intrusive_ptr<c10d::ProcessGroup>& group() const { return group_; }

 private:
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  c10::Device device_;
  mutable std::array<Traffic, kCollectiveKinds> traffic_{};
};

/// Three groups, so that gradients, losses and control messages never wait in each other's order.
struct Communicators {
  std::unique_ptr<Communicator> gradients;  ///< of GradientSum
  std::unique_ptr<Communicator> loss;       ///< embeddings, batch norm statistics
  std::unique_ptr<Communicator> control;    ///< flags, counts, ids; always CPU tensors over MPI
};

/// Collective over all ranks of the world.
Communicators open_communicators(const World& world);

}  // namespace cltrain
