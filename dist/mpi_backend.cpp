#include "dist/mpi_backend.h"

#include "dist/errors.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include <ATen/core/ivalue.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

/// A collective that ended inside its call.
class FinishedWork : public c10d::Work {
 public:
  FinishedWork(int rank, c10d::OpType type, std::vector<at::Tensor> results)
      : Work(rank, type), results_(std::move(results)) {
    auto future =
        c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()));
    future->markCompleted(c10::IValue(results_));
    future_ = std::move(future);
    finish();
  }
  std::vector<at::Tensor> result() override { return results_; }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future_; }

 private:
  std::vector<at::Tensor> results_;
  c10::intrusive_ptr<c10::ivalue::Future> future_;
};

/// Messages under way; the tensor stays alive with them.
class MessagesWork : public c10d::Work {
 public:
  MessagesWork(int rank, c10d::OpType type, at::Tensor tensor, std::vector<MPI_Request> requests,
               std::function<void(std::vector<MPI_Request>&)> wait_for)
      : Work(rank, type),
        tensor_(std::move(tensor)),
        requests_(std::move(requests)),
        wait_for_(std::move(wait_for)) {}

  bool wait(std::chrono::milliseconds) override {
    if (!requests_.empty()) wait_for_(requests_);
    requests_.clear();
    return true;
  }

 private:
  at::Tensor tensor_;
  std::vector<MPI_Request> requests_;
  std::function<void(std::vector<MPI_Request>&)> wait_for_;
};

MPI_Datatype mpi_type(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kInt:
      return MPI_INT32_T;
    case at::kLong:
      return MPI_INT64_T;
    case at::kByte:
      return MPI_UINT8_T;
    default:
      TORCH_CHECK(false, "MPI cannot reduce tensors of type ", tensor.scalar_type(),
                  "; allowed: float32, float64, int32, int64, uint8");
  }
}

MPI_Op mpi_op(const c10d::ReduceOp& op) {
  switch (static_cast<c10d::ReduceOp::RedOpType>(op)) {
    case c10d::ReduceOp::SUM:
      return MPI_SUM;
    case c10d::ReduceOp::MAX:
      return MPI_MAX;
    case c10d::ReduceOp::MIN:
      return MPI_MIN;
    default:
      TORCH_CHECK(false, "the MPI backend reduces by SUM, MAX or MIN only");
  }
}

void check_tensor(const at::Tensor& tensor, const char* operation) {
  TORCH_CHECK(tensor.device().is_cpu() && tensor.is_contiguous(), operation,
              ": the MPI backend takes contiguous CPU tensors; received ", tensor.device(),
              tensor.is_contiguous() ? "" : ", not contiguous");
}

// MPI counts are 32-bit; longer tensors travel in slices of this many elements.
constexpr int64_t kSlice = int64_t{1} << 30;

std::vector<int> exclusive_sum(const std::vector<int>& counts) {
  std::vector<int> starts(counts.size(), 0);
  std::partial_sum(counts.begin(), counts.end() - 1, starts.begin() + 1);
  return starts;
}

int checked_count(int64_t bytes, const char* operation) {
  TORCH_CHECK(bytes <= std::numeric_limits<int>::max(), operation, ": ", bytes,
              " from one rank exceed MPI's 32-bit count; use more ranks or smaller batches");
  return static_cast<int>(bytes);
}

}  // namespace

MpiBackend::MpiBackend(MPI_Comm communicator, std::string name, std::shared_ptr<Watchdog> watchdog)
    : Backend(
          [&] {
            int rank = 0;
            MPI_Comm_rank(communicator, &rank);
            return rank;
          }(),
          [&] {
            int size = 0;
            MPI_Comm_size(communicator, &size);
            return size;
          }()),
      name_(std::move(name)),
      watchdog_(std::move(watchdog)) {
  MPI_Comm_dup(communicator, &communicator_);
  MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
}

MpiBackend::~MpiBackend() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) MPI_Comm_free(&communicator_);
}

template <class Call>
void MpiBackend::run(const char* operation, Call&& call) {
  const uint64_t sequence = sequence_++;
  const Watchdog::Guard guard = watchdog_->watch(operation, name_, sequence);
  const int status = call();
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw PeerLost(std::string(operation) + " #" + std::to_string(sequence) + " of group '" + name_ +
                 "' failed on rank " + std::to_string(rank_) + ": " + text);
}

template <class Post>
c10::intrusive_ptr<c10d::Work> MpiBackend::start(const char* operation, c10d::OpType type,
                                                 const std::vector<at::Tensor>& tensors,
                                                 Post&& post) {
  TORCH_CHECK(tensors.size() == 1, operation, " takes one tensor");
  check_tensor(tensors[0], operation);
  auto* data = static_cast<char*>(tensors[0].data_ptr());
  const auto bytes = static_cast<int64_t>(tensors[0].nbytes());
  std::vector<MPI_Request> requests;
  for (int64_t at = 0; at < bytes; at += kSlice) {
    requests.push_back(MPI_REQUEST_NULL);
    const int count = static_cast<int>(std::min<int64_t>(kSlice, bytes - at));
    run(operation, [&] { return post(data + at, count, &requests.back()); });
  }
  return c10::make_intrusive<MessagesWork>(
      rank_, type, tensors[0], std::move(requests),
      [this, operation](std::vector<MPI_Request>& waiting) {
        run(operation, [&] {
          return MPI_Waitall(static_cast<int>(waiting.size()), waiting.data(), MPI_STATUSES_IGNORE);
        });
      });
}

c10::intrusive_ptr<c10d::Work> MpiBackend::finished(c10d::OpType type,
                                                    std::vector<at::Tensor> results) {
  return c10::make_intrusive<FinishedWork>(rank_, type, std::move(results));
}

c10::intrusive_ptr<c10d::Work> MpiBackend::broadcast(std::vector<at::Tensor>& tensors,
                                                     const c10d::BroadcastOptions& options) {
  for (at::Tensor& tensor : tensors) {
    check_tensor(tensor, "broadcast");
    auto* data = static_cast<char*>(tensor.data_ptr());
    for (int64_t at = 0; at < static_cast<int64_t>(tensor.nbytes()); at += kSlice) {
      const int count = static_cast<int>(std::min<int64_t>(kSlice, tensor.nbytes() - at));
      run("broadcast", [&] {
        return MPI_Bcast(data + at, count, MPI_BYTE, static_cast<int>(options.rootRank),
                         communicator_);
      });
    }
  }
  return finished(c10d::OpType::BROADCAST, tensors);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::allreduce(std::vector<at::Tensor>& tensors,
                                                     const c10d::AllreduceOptions& options) {
  for (at::Tensor& tensor : tensors) {
    check_tensor(tensor, "all_reduce");
    const MPI_Datatype type = mpi_type(tensor);
    auto* data = static_cast<char*>(tensor.data_ptr());
    for (int64_t at = 0; at < tensor.numel(); at += kSlice) {
      const int count = static_cast<int>(std::min(kSlice, tensor.numel() - at));
      run("all_reduce", [&] {
        return MPI_Allreduce(MPI_IN_PLACE, data + at * tensor.element_size(), count, type,
                             mpi_op(options.reduceOp), communicator_);
      });
    }
  }
  return finished(c10d::OpType::ALLREDUCE, tensors);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::allgather(std::vector<std::vector<at::Tensor>>& outputs,
                                                     std::vector<at::Tensor>& inputs,
                                                     const c10d::AllgatherOptions&) {
  TORCH_CHECK(
      inputs.size() == 1 && outputs.size() == 1 && static_cast<int>(outputs[0].size()) == size_,
      "all_gather takes one input and one output a rank");
  check_tensor(inputs[0], "all_gather");
  // Outputs that are consecutive slices of one buffer are filled in place; empty ones are nowhere.
  std::vector<int> counts;
  char* target = nullptr;
  char* expected = nullptr;
  bool adjacent = true;
  for (const at::Tensor& output : outputs[0]) {
    check_tensor(output, "all_gather");
    counts.push_back(checked_count(output.nbytes(), "all_gather"));
    if (output.numel() == 0) continue;
    auto* data = static_cast<char*>(output.data_ptr());
    if (target == nullptr) target = expected = data;
    adjacent = adjacent && data == expected;
    expected += output.nbytes();
  }
  TORCH_CHECK(counts[rank_] == static_cast<int64_t>(inputs[0].nbytes()), "all_gather on rank ",
              rank_, ": the input has ", inputs[0].nbytes(), " bytes, its place in the output ",
              counts[rank_]);
  const std::vector<int> starts = exclusive_sum(counts);
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  checked_count(total, "all_gather");
  at::Tensor staging;
  if (!adjacent) staging = at::empty({total}, at::kByte);
  if (!adjacent) target = static_cast<char*>(staging.data_ptr());
  run("all_gather", [&] {
    return MPI_Allgatherv(inputs[0].data_ptr(), counts[rank_], MPI_BYTE, target, counts.data(),
                          starts.data(), MPI_BYTE, communicator_);
  });
  if (!adjacent)
    for (int r = 0; r < size_; ++r)
      std::copy_n(target + starts[r], counts[r], static_cast<char*>(outputs[0][r].data_ptr()));
  return finished(c10d::OpType::ALLGATHER, outputs[0]);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::reduce_scatter(
    std::vector<at::Tensor>& outputs, std::vector<std::vector<at::Tensor>>& inputs,
    const c10d::ReduceScatterOptions& options) {
  TORCH_CHECK(
      outputs.size() == 1 && inputs.size() == 1 && static_cast<int>(inputs[0].size()) == size_,
      "reduce_scatter takes one output and one input a rank");
  check_tensor(outputs[0], "reduce_scatter");
  std::vector<int> counts;
  std::vector<at::Tensor> pieces;
  for (const at::Tensor& input : inputs[0]) {
    check_tensor(input, "reduce_scatter");
    counts.push_back(checked_count(input.numel(), "reduce_scatter"));
    pieces.push_back(input.reshape({-1}));
  }
  TORCH_CHECK(counts[rank_] == outputs[0].numel(), "reduce_scatter on rank ", rank_,
              ": the output has ", outputs[0].numel(), " elements, its share ", counts[rank_]);
  const at::Tensor joined = at::cat(pieces);
  run("reduce_scatter", [&] {
    return MPI_Reduce_scatter(joined.data_ptr(), outputs[0].data_ptr(), counts.data(),
                              mpi_type(outputs[0]), mpi_op(options.reduceOp), communicator_);
  });
  return finished(c10d::OpType::REDUCE_SCATTER, outputs);
}

c10::intrusive_ptr<c10d::Work> MpiBackend::send(std::vector<at::Tensor>& tensors, int destination,
                                                int tag) {
  return start("send", c10d::OpType::SEND, tensors,
               [=, this](void* data, int count, MPI_Request* request) {
                 return MPI_Isend(data, count, MPI_BYTE, destination, tag, communicator_, request);
               });
}

c10::intrusive_ptr<c10d::Work> MpiBackend::recv(std::vector<at::Tensor>& tensors, int source,
                                                int tag) {
  return start("receive", c10d::OpType::RECV, tensors,
               [=, this](void* data, int count, MPI_Request* request) {
                 return MPI_Irecv(data, count, MPI_BYTE, source, tag, communicator_, request);
               });
}

c10::intrusive_ptr<c10d::Work> MpiBackend::barrier(const c10d::BarrierOptions&) {
  run("barrier", [&] { return MPI_Barrier(communicator_); });
  return finished(c10d::OpType::BARRIER, {});
}

}  // namespace cltrain
