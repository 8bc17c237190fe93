#include "dist/communicator.h"

#include "dist/mpi_backend.h"
#include "dist/nccl_group.h"

#include <chrono>
#include <memory>
#include <numeric>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>
#include <mpi.h>

namespace cltrain {
namespace {

std::vector<at::Tensor> split_rows(const at::Tensor& tensor, const std::vector<int64_t>& rows) {
  std::vector<at::Tensor> parts;
  int64_t begin = 0;
  for (const int64_t count : rows) {
    parts.push_back(tensor.narrow(0, begin, count));
    begin += count;
  }
  return parts;
}

void reduce(c10d::ProcessGroup& group, at::Tensor& tensor, c10d::ReduceOp op) {
  c10d::AllreduceOptions options;
  options.reduceOp = op;
  std::vector<at::Tensor> tensors{tensor};
  group.allreduce(tensors, options)->wait();
}

/// Counts the call that it lives through.
class Counted {
 public:
  Counted(const Communicator& communicator, Collective collective, int64_t bytes)
      : communicator_(communicator), collective_(collective), bytes_(bytes) {}
  ~Counted() {
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
    communicator_.count(collective_, bytes_, seconds.count());
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  const Communicator& communicator_;
  Collective collective_;
  int64_t bytes_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

int64_t bytes_of(const at::Tensor& tensor) {
  return static_cast<int64_t>(tensor.nbytes());
}

std::unique_ptr<Communicator> open_mpi(const World& world, const char* name) {
  auto group = c10::make_intrusive<c10d::ProcessGroup>(world.rank, world.size);
  group->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::CUSTOM,
                    c10::intrusive_ptr<c10d::Backend>(
                        c10::make_intrusive<MpiBackend>(MPI_COMM_WORLD, name, world.watchdog)));
  group->setDefaultBackend(c10d::ProcessGroup::CUSTOM);
  group->setGroupName(name);
  return std::make_unique<Communicator>(std::move(group), c10::kCPU);
}

std::unique_ptr<Communicator> open_group(const World& world, const char* name) {
  if (world.device.is_cpu()) return open_mpi(world, name);
  return std::make_unique<Communicator>(open_nccl_group(world, name), world.device);
}

}  // namespace

Communicator::Communicator(c10::intrusive_ptr<c10d::ProcessGroup> group, c10::Device device)
    : group_(std::move(group)), device_(device) {}

Communicator::~Communicator() = default;

void Communicator::count(Collective collective, int64_t bytes, double seconds) const {
  Traffic& traffic = traffic_[static_cast<size_t>(collective)];
  traffic.bytes += bytes;
  traffic.seconds += seconds;
}

int Communicator::rank() const {
  return group_->getRank();
}
int Communicator::size() const {
  return group_->getSize();
}

at::Tensor Communicator::all_gather(const at::Tensor& local,
                                    const std::vector<int64_t>& rows) const {
  TORCH_CHECK(static_cast<int>(rows.size()) == size() && local.size(0) == rows[rank()],
              "all_gather on rank ", rank(), ": ", local.size(0), " local rows do not match the ",
              rows.size(), " announced counts of ", size(), " ranks");
  auto shape = local.sizes().vec();
  shape[0] = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  at::Tensor global = at::empty(shape, local.options());
  std::vector<std::vector<at::Tensor>> outputs{split_rows(global, rows)};
  std::vector<at::Tensor> inputs{local.contiguous()};
  const Counted counted(*this, Collective::kAllGather, bytes_of(global));
  group_->allgather(outputs, inputs)->wait();
  return global;
}

at::Tensor Communicator::reduce_scatter_sum(const at::Tensor& global,
                                            const std::vector<int64_t>& rows) const {
  TORCH_CHECK(static_cast<int>(rows.size()) == size() &&
                  global.size(0) == std::accumulate(rows.begin(), rows.end(), int64_t{0}),
              "reduce_scatter_sum on rank ", rank(), ": ", global.size(0),
              " rows are not the sum of the announced counts");
  auto shape = global.sizes().vec();
  shape[0] = rows[rank()];
  std::vector<at::Tensor> outputs{at::empty(shape, global.options())};
  std::vector<std::vector<at::Tensor>> inputs{split_rows(global.contiguous(), rows)};
  const Counted counted(*this, Collective::kReduceScatter, bytes_of(global));
  group_->reduce_scatter(outputs, inputs)->wait();
  return outputs[0];
}

void Communicator::all_reduce_sum(at::Tensor tensor) const {
  const Counted counted(*this, Collective::kAllReduce, bytes_of(tensor));
  reduce(*group_, tensor, c10d::ReduceOp::SUM);
}

void Communicator::all_reduce_max(at::Tensor tensor) const {
  const Counted counted(*this, Collective::kAllReduce, bytes_of(tensor));
  reduce(*group_, tensor, c10d::ReduceOp::MAX);
}

void Communicator::broadcast(at::Tensor tensor, int root) const {
  c10d::BroadcastOptions options;
  options.rootRank = root;
  std::vector<at::Tensor> tensors{tensor};
  const Counted counted(*this, Collective::kBroadcast, bytes_of(tensor));
  group_->broadcast(tensors, options)->wait();
}

InFlight::InFlight(std::vector<c10::intrusive_ptr<c10d::Work>> works) : works_(std::move(works)) {}
InFlight::~InFlight() {
  // After an exception too: the transport still holds the tensors' memory.
  try {
    wait();
  } catch (...) {  // the peer is lost; whatever is under way says so
  }
}
InFlight::InFlight(InFlight&&) noexcept = default;

void InFlight::wait() {
  for (const auto& work : works_) work->wait();
  works_.clear();
}

InFlight Communicator::pass_on(const at::Tensor& outgoing, at::Tensor incoming) const {
  TORCH_CHECK(outgoing.is_contiguous() && incoming.is_contiguous(), "pass_on on rank ", rank(),
              ": tensors must be contiguous");
  const int next = (rank() + 1) % size(), previous = (rank() + size() - 1) % size();
  std::vector<at::Tensor> sent{outgoing}, received{incoming};
  count(Collective::kSendReceive, bytes_of(outgoing), 0);
  std::vector<c10::intrusive_ptr<c10d::Work>> works;
  // NCCL starts both at once, or two ranks that first send would wait for each other.
  const bool coalesce = device_.is_cuda();
  if (coalesce) group_->startCoalescing(device_.type());
  if (incoming.numel() > 0) works.push_back(group_->recv(received, previous, /*tag=*/0));
  if (outgoing.numel() > 0) works.push_back(group_->send(sent, next, /*tag=*/0));
  if (coalesce) works = {group_->endCoalescing(device_.type())};
  return InFlight(std::move(works));
}

void Communicator::barrier() const {
  group_->barrier()->wait();
}

at::Tensor Communicator::all_gather_each(const at::Tensor& local) const {
  return all_gather(local.unsqueeze(0), std::vector<int64_t>(size(), 1));
}

std::vector<int64_t> Communicator::all_gather_count(int64_t value) const {
  const at::Tensor local =
      at::full({}, value, at::TensorOptions().dtype(at::kLong).device(device_));
  const at::Tensor all = all_gather_each(local).cpu();
  return {all.const_data_ptr<int64_t>(), all.const_data_ptr<int64_t>() + size()};
}

Communicators open_communicators(const World& world) {
  return {open_group(world, "gradients"), open_group(world, "loss"), open_mpi(world, "control")};
}

}  // namespace cltrain
