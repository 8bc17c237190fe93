#include "dist/exchange.h"

#include <numeric>
#include <stdexcept>

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/util/Exception.h>

namespace cltrain {

Exchange exchange_named(const std::string& name) {
  if (name == "gather") return Exchange::kGather;
  if (name == "balanced") return Exchange::kBalanced;
  if (name == "ring") return Exchange::kRing;
  throw std::invalid_argument("exchange '" + name + "'; allowed: gather, balanced, ring");
}

int64_t GlobalRows::total() const {
  return std::accumulate(rows.begin(), rows.end(), int64_t{0});
}

int64_t GlobalRows::first(int rank) const {
  return std::accumulate(rows.begin(), rows.begin() + rank, int64_t{0});
}

void check_exchange(const at::Tensor& z, const at::Tensor& scale, const GlobalRows& where) {
  const Communicator& communicator = where.communicator;
  TORCH_CHECK(z.dim() == 2 && z.size(0) == where.rows[communicator.rank()], "embeddings on rank ",
              communicator.rank(), ": received shape ", z.sizes(), "; announced are ",
              where.rows[communicator.rank()], " rows");
  const int64_t type = static_cast<int64_t>(z.scalar_type());
  const std::vector<int64_t> all = communicator.all_gather_count(z.size(1) * 256 + type);
  for (int rank = 1; rank < communicator.size(); ++rank)
    TORCH_CHECK(all[rank] == all[0], "embeddings have width ", all[0] / 256, " and type ",
                static_cast<at::ScalarType>(all[0] % 256), " on rank 0, but width ",
                all[rank] / 256, " and type ", static_cast<at::ScalarType>(all[rank] % 256),
                " on rank ", rank, ": every rank must run the same network and the same options");
  TORCH_CHECK(!(scale.item<double>() <= 0), "scale = 1 / temperature is ", scale.item<double>(),
              "; allowed: above 0");
}

void refuse_balanced(Exchange exchange) {
  TORCH_CHECK(exchange != Exchange::kBalanced,
              "loss.exchange=balanced shares out a triangle, which two different sets of "
              "embeddings do not have; allowed: gather, ring");
}

at::Tensor compute_type(const at::Tensor& z, const GlobalRows& where) {
  return where.bfloat16 ? z.to(at::kBFloat16) : z;
}

// Alone there is nobody to gather from: the ring's one visit is all.
at::Tensor gathered(const at::Tensor& local, const GlobalRows& where) {
  if (where.exchange == Exchange::kRing || where.communicator.size() == 1) return {};
  return where.communicator.all_gather(local, where.rows);
}

void visit_rows(const at::Tensor& local, const at::Tensor& all, const GlobalRows& where,
                const std::function<void(const at::Tensor& block, int64_t first)>& visit) {
  if (all.defined()) return visit(all, 0);
  const Communicator& communicator = where.communicator;
  const int ranks = communicator.size();
  at::Tensor block = local;
  for (int step = 0; step < ranks; ++step) {
    const int owner = (communicator.rank() - step + ranks) % ranks;
    if (step + 1 == ranks) return visit(block, where.first(owner));
    const int next_owner = (owner - 1 + ranks) % ranks;
    at::Tensor next = at::empty({where.rows[next_owner], block.size(1)}, block.options());
    InFlight moving = communicator.pass_on(block, next);
    visit(block, where.first(owner));
    moving.wait();
    block = next;
  }
}

at::Tensor gather_columns(const std::vector<at::Tensor>& columns, const GlobalRows& where) {
  return where.communicator.all_gather(at::stack(columns, 1), where.rows);
}

LseAdjoint adjoint_of(const at::Tensor& table, int64_t first_column, int64_t begin, int64_t count) {
  const at::Tensor rows = table.narrow(0, begin, count);
  return {rows.select(1, first_column).contiguous(), rows.select(1, first_column + 1).contiguous()};
}

void subtract_positives(const at::Tensor& gradient, const at::Tensor& y, const at::Tensor& up,
                        double scale) {
  const auto type = gradient.scalar_type();
  gradient.addcmul_(y.to(type), up.to(type).unsqueeze(1), -scale);
}

}  // namespace cltrain
