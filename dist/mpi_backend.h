// MpiBackend: a c10d::Backend for CPU tensors over MPI, because the wheel of LibTorch has none.
//
// Contract. Every rank of the group issues the same collectives in the same order. Each runs to its
// end inside the call, on the calling thread and in place: Open MPI progresses only inside its
// calls, so nothing would overlap anyway; the returned Work is complete. Only send and recv return
// before they are done. Different groups hold duplicated MPI communicators and may be used from
// different threads (MPI_THREAD_MULTIPLE).
// Tensors: contiguous, on the CPU; float32, float64, int32, int64 and uint8 are summed and
// maximised, any type is gathered and broadcast. Results have the same bits on every rank. Errors:
// a failing or too long call throws or ends the rank naming operation, group, sequence number and
// rank.
#pragma once

#include "dist/watchdog.h"

#include <memory>
#include <string>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <mpi.h>

namespace cltrain {

class MpiBackend : public c10d::Backend {
 public:
  /// Duplicates `communicator`; collective over it. `name` appears in errors.
  MpiBackend(MPI_Comm communicator, std::string name, std::shared_ptr<Watchdog> watchdog);
  ~MpiBackend() override;

  const std::string getBackendName() const override { return "mpi"; }

  c10::intrusive_ptr<c10d::Work> broadcast(
      std::vector<at::Tensor>& tensors,
      const c10d::BroadcastOptions& options = c10d::BroadcastOptions()) override;
  c10::intrusive_ptr<c10d::Work> allreduce(
      std::vector<at::Tensor>& tensors,
      const c10d::AllreduceOptions& options = c10d::AllreduceOptions()) override;
  /// outputs[0][r] receives rank r's tensor; the tensors of different ranks may differ in size.
  c10::intrusive_ptr<c10d::Work> allgather(
      std::vector<std::vector<at::Tensor>>& outputs, std::vector<at::Tensor>& inputs,
      const c10d::AllgatherOptions& options = c10d::AllgatherOptions()) override;
  /// outputs[0] receives the sum over ranks of inputs[0][rank]; sizes may differ by rank.
  c10::intrusive_ptr<c10d::Work> reduce_scatter(
      std::vector<at::Tensor>& outputs, std::vector<std::vector<at::Tensor>>& inputs,
      const c10d::ReduceScatterOptions& options = c10d::ReduceScatterOptions()) override;
  /// Start at once and end in the Work's wait(), which the watchdog counts. A tensor of no bytes
  /// must not be sent.
  c10::intrusive_ptr<c10d::Work> send(std::vector<at::Tensor>& tensors, int destination,
                                      int tag) override;
  c10::intrusive_ptr<c10d::Work> recv(std::vector<at::Tensor>& tensors, int source,
                                      int tag) override;
  c10::intrusive_ptr<c10d::Work> barrier(
      const c10d::BarrierOptions& options = c10d::BarrierOptions()) override;

 private:
  template <class Call>
  void run(const char* operation, Call&& call);
  template <class Post>
  c10::intrusive_ptr<c10d::Work> start(const char* operation, c10d::OpType type,
                                       const std::vector<at::Tensor>& tensors, Post&& post);
  c10::intrusive_ptr<c10d::Work> finished(c10d::OpType type, std::vector<at::Tensor> results);

  MPI_Comm communicator_ = MPI_COMM_NULL;
  std::string name_;
  std::shared_ptr<Watchdog> watchdog_;
  uint64_t sequence_ = 0;
};

}  // namespace cltrain
