#include "dist/sharded_queue.h"

#include "ops/keyed_random.h"
#include "ops/row_range.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

/// Normal numbers by slot, scaled to unit length: a direction drawn evenly.
void fill_unit_vectors(at::Tensor keys, int64_t first_slot, uint64_t seed) {
  const PhiloxKey key = random_key(seed, Purpose::kQueue, 0);
  const int64_t width = keys.size(1);
  auto* data = keys.mutable_data_ptr<float>();
  at::parallel_for(0, keys.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      KeyedStream stream(key, static_cast<uint64_t>(first_slot + row), 0, 0);
      float* out = data + row * width;
      double squares = 0;
      for (int64_t i = 0; i < width; ++i) {
        out[i] = static_cast<float>(stream.normal());
        squares += static_cast<double>(out[i]) * out[i];
      }
      const auto scale = static_cast<float>(1 / std::sqrt(squares));
      for (int64_t i = 0; i < width; ++i) out[i] *= scale;
    }
  });
}

}  // namespace

ShardedQueue::ShardedQueue(int64_t keys_in_all, int64_t width, uint64_t seed,
                           const Communicator& communicator)
    : communicator_(communicator), size_(keys_in_all) {
  const int ranks = communicator.size();
  if (size_ < ranks)
    throw std::invalid_argument("a queue of " + std::to_string(size_) + " keys over " +
                                std::to_string(ranks) +
                                " ranks: every rank keeps at least one; take a longer queue or "
                                "fewer ranks");
  for (int rank = 0; rank < ranks; ++rank) rows_.push_back(rank_share(size_, rank, ranks).count());
  const RowRange own = rank_share(size_, communicator.rank(), ranks);
  first_slot_ = own.begin;
  keys = register_buffer("keys", at::empty({own.count(), width}));
  fill_unit_vectors(keys, first_slot_, seed);
  pushed = register_buffer("pushed", at::ones({own.count()}, at::kLong));
  next_slot_ = register_buffer("next_slot", at::zeros({}, at::kLong));
  pushes_ = register_buffer("pushes", at::zeros({}, at::kLong));
}

void ShardedQueue::push(const std::vector<at::Tensor>& locals, const std::vector<int64_t>& rows,
                        const std::vector<int64_t>& places) {
  const c10::NoGradGuard no_grad;
  pushes_.add_(1);
  const at::Tensor order = at::tensor(places, at::kLong).to(keys.device());
  for (const at::Tensor& local : locals) {
    TORCH_CHECK(local.dim() == 2 && local.size(1) == keys.size(1), "keys of shape ", local.sizes(),
                " for a queue of width ", keys.size(1));
    const at::Tensor batch =
        communicator_.all_gather(local.to(keys.scalar_type()), rows).index_select(0, order);
    const int64_t lost = std::max<int64_t>(0, batch.size(0) - size_);  // overwritten at once
    const int64_t first = (next_slot_.item<int64_t>() + lost) % size_;
    const int64_t count = batch.size(0) - lost, before_wrap = std::min(count, size_ - first);
    write(batch.narrow(0, lost, before_wrap), first);
    write(batch.narrow(0, lost + before_wrap, count - before_wrap), 0);
    next_slot_.fill_((first + count) % size_);
  }
}

// What of `batch`, which goes to the slots from `first_slot` on, this rank keeps.
void ShardedQueue::write(const at::Tensor& batch, int64_t first_slot) {
  const int64_t begin = std::max(first_slot, first_slot_);
  const int64_t end = std::min(first_slot + batch.size(0), first_slot_ + keys.size(0));
  if (begin >= end) return;
  keys.narrow(0, begin - first_slot_, end - begin)
      .copy_(batch.narrow(0, begin - first_slot, end - begin));
  pushed.narrow(0, begin - first_slot_, end - begin).copy_(pushes_.expand({end - begin}));
}

at::Tensor ShardedQueue::ages() const {
  return pushes_ - pushed + 1;
}

std::map<std::string, std::vector<int64_t>> sharded_buffers(const torch::nn::Module& root) {
  std::map<std::string, std::vector<int64_t>> found;
  for (const auto& item : root.named_modules("", /*include_self=*/false))
    if (const auto* queue = item.value()->as<ShardedQueue>())
      for (const char* name : {".keys", ".pushed"}) found[item.key() + name] = queue->rows();
  return found;
}

}  // namespace cltrain
