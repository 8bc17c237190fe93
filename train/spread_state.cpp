#include "train/spread_state.h"

#include "dist/sharded_queue.h"

#include <numeric>

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

namespace cltrain {
namespace {

const Communicator& carrier(const at::Tensor& tensor, const Communicators& communicators) {
  return tensor.device().is_cuda() ? *communicators.gradients : *communicators.control;
}

at::Tensor room_for(const StateTensor& item) {
  if (item.rows.empty()) return item.tensor;
  std::vector<int64_t> shape = item.tensor.sizes().vec();
  shape[0] = std::accumulate(item.rows.begin(), item.rows.end(), int64_t{0});
  return at::empty(shape, item.tensor.options());
}

/// Calls visit(rank, first row, rows) for the ranks' shares of the whole.
template <class Visit>
void for_each_share(const std::vector<int64_t>& rows, Visit&& visit) {
  int64_t first = 0;
  for (size_t rank = 0; rank < rows.size(); ++rank) {
    visit(static_cast<int>(rank), first, rows[rank]);
    first += rows[rank];
  }
}

/// A share on its way: the rank's own rows, or room for those of another.
at::Tensor share_of(const StateTensor& item, bool own, int64_t count) {
  if (own) return item.tensor;
  std::vector<int64_t> shape = item.tensor.sizes().vec();
  shape[0] = count;
  return at::empty(shape, item.tensor.options());
}

}  // namespace

std::vector<StateTensor> model_state(const Method& method) {
  const auto sharded = sharded_buffers(method);
  std::vector<StateTensor> all;
  for (const auto& item : method.named_parameters())
    all.push_back({"model." + item.key(), item.value(), {}});
  for (const auto& item : method.named_buffers()) {
    const auto rows = sharded.find(item.key());
    all.push_back({"model." + item.key(), item.value(),
                   rows == sharded.end() ? std::vector<int64_t>() : rows->second});
  }
  return all;
}

std::vector<NamedTensor> whole_state(const std::vector<StateTensor>& state,
                                     const Communicators& communicators) {
  const c10::NoGradGuard no_grad;
  std::vector<NamedTensor> all;
  const int here = communicators.control->rank();
  for (const StateTensor& item : state) {
    const at::Tensor whole = here == 0 ? room_for(item) : at::Tensor();
    for_each_share(item.rows, [&](int rank, int64_t first, int64_t count) {
      const at::Tensor share = share_of(item, rank == here, count);
      carrier(share, communicators).broadcast(share, rank);
      if (here == 0) whole.narrow(0, first, count).copy_(share);
    });
    if (here == 0) all.emplace_back(item.name, whole);
  }
  return all;
}

std::vector<NamedTensor> room_for_state(const std::vector<StateTensor>& state) {
  std::vector<NamedTensor> all;
  for (const StateTensor& item : state) all.emplace_back(item.name, room_for(item));
  return all;
}

void spread_state(const std::vector<StateTensor>& state, const std::vector<NamedTensor>& whole,
                  const Communicators& communicators) {
  const c10::NoGradGuard no_grad;
  const int here = communicators.control->rank();
  for (size_t i = 0; i < state.size(); ++i) {
    const StateTensor& item = state[i];
    if (item.rows.empty()) {
      const at::Tensor shared = item.tensor.detach().contiguous();
      carrier(shared, communicators).broadcast(shared);
      if (!shared.is_alias_of(item.tensor)) item.tensor.detach().copy_(shared);
      continue;
    }
    for_each_share(item.rows, [&](int rank, int64_t first, int64_t count) {
      const at::Tensor share = here == 0 ? whole[i].second.narrow(0, first, count).contiguous()
                                         : share_of(item, rank == here, count);
      carrier(share, communicators).broadcast(share);
      if (rank == here && here == 0) item.tensor.copy_(share);
    });
  }
}

}  // namespace cltrain
