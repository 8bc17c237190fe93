#include "dist/global_lse.h"

#include "ops/row_dots.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/custom_function.h>

namespace cltrain {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Sizes that differ would end in a hang or in nonsense inside the collective; so they are compared
// before. One small all-gather.
void check_same_width(const at::Tensor& z, const GlobalRows& where) {
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
}

// Before anything travels: an error on one rank alone would leave the others waiting.
void check_scale(const at::Tensor& scale) {
  TORCH_CHECK(!(scale.item<double>() <= 0), "scale = 1 / temperature is ", scale.item<double>(),
              "; allowed: above 0");
}

/// Rows of other ranks as they come by: visit(block, first), the number of its first row.
///   gathered  all rows at once; `all` is what all_gather gave
///   ring      R blocks, this rank's first; the next one travels while one is visited
class Visitors {
 public:
  using Visit = std::function<void(const at::Tensor& block, int64_t first)>;

  Visitors(at::Tensor local, at::Tensor all, const GlobalRows& where)
      : local_(std::move(local)), all_(std::move(all)), where_(where) {}

  void for_each(const Visit& visit) const {
    if (all_.defined()) return visit(all_, 0);
    const Communicator& communicator = where_.communicator;
    const int ranks = communicator.size();
    at::Tensor block = local_;
    for (int step = 0; step < ranks; ++step) {
      const int owner = (communicator.rank() - step + ranks) % ranks;
      if (step + 1 == ranks) return visit(block, where_.first(owner));
      const int next_owner = (owner - 1 + ranks) % ranks;
      at::Tensor next = at::empty({where_.rows[next_owner], block.size(1)}, block.options());
      InFlight moving = communicator.pass_on(block, next);
      visit(block, where_.first(owner));
      moving.wait();
      block = next;
    }
  }

 private:
  at::Tensor local_, all_;
  const GlobalRows& where_;
};

// Alone there is nobody to gather from: the ring's one visit is all.
at::Tensor gathered(const at::Tensor& local, const GlobalRows& where) {
  if (where.exchange == Exchange::kRing || where.communicator.size() == 1) return {};
  return where.communicator.all_gather(local, where.rows);
}

/// [n_local, c] of every rank -> [n, c].
at::Tensor from_all(const std::vector<at::Tensor>& columns, const GlobalRows& where) {
  return where.communicator.all_gather(at::stack(columns, 1), where.rows);
}

LseAdjoint adjoint_of(const at::Tensor& table, int64_t first_column, int64_t begin, int64_t count) {
  const at::Tensor rows = table.narrow(0, begin, count);
  return {rows.select(1, first_column).contiguous(), rows.select(1, first_column + 1).contiguous()};
}

at::Tensor compute_type(const at::Tensor& z, bool bfloat16) {
  return bfloat16 ? z.to(at::kBFloat16) : z;
}

at::Tensor no_gradient_yet(const at::Tensor& z) {
  const auto type = z.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::zeros(z.sizes(), z.options().dtype(type));
}

at::Tensor scalar_like(double value, const at::Tensor& scale) {
  return at::full(scale.sizes(), value, scale.options());
}

/// Own row and partner of rows first_row .. of the whole, as columns of a block that begins at
/// `first`; -1 outside of it.
LseMask block_mask(const at::Tensor& z, const at::Tensor& excluded, const at::Tensor& block,
                   int64_t first_row, int64_t first) {
  const at::Tensor own = at::arange(first_row, first_row + z.size(0), z.options().dtype(at::kLong));
  at::Tensor columns = own.unsqueeze(1);
  if (excluded.defined()) columns = at::cat({columns, excluded}, 1);
  const at::Tensor inside = (columns >= first).logical_and(columns < first + block.size(0));
  return {.excluded_columns = at::where(inside, columns - first, -1)};
}

/// Excluded columns of a problem that holds just the rows from `first` on.
LseMask self_mask(const at::Tensor& excluded, int64_t first) {
  if (!excluded.defined()) return {};
  return {.excluded_columns = excluded - first};
}

bool is_own(const GlobalRows& where, const at::Tensor& block, int64_t first) {
  return first == where.first() && block.size(0) == where.rows[where.communicator.rank()];
}

struct SelfLse : Function<SelfLse> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& embeddings,
                            const at::Tensor& scale, const LseMask& mask, const GlobalRows* where,
                            const Enter* enter) {
    const at::Tensor z = compute_type(embeddings, where->bfloat16);
    const at::Tensor& excluded = mask.excluded_columns;
    const double factor = scale.item<double>();
    at::Tensor all = gathered(z, *where), lse, excluded_all;
    (*enter)("loss");
    if (balanced(*where)) {
      if (excluded.defined()) excluded_all = where->communicator.all_gather(excluded, where->rows);
      const at::Tensor partial =
          self_lse_forward(all, factor, self_mask(excluded_all, 0), share_of(*where));
      const std::vector<int64_t> one_each(static_cast<size_t>(where->communicator.size()), 1);
      const at::Tensor parts = where->communicator.all_gather(partial.unsqueeze(0), one_each);
      lse = combine_lse(parts).narrow(0, where->first(), z.size(0)).contiguous();
    } else {
      // Parts in the order of the ranks, whatever order they came in.
      std::vector<std::pair<int64_t, at::Tensor>> parts;
      Visitors(z, all, *where).for_each([&](const at::Tensor& block, int64_t first) {
        parts.emplace_back(
            first, is_own(*where, block, first)
                       ? self_lse_forward(z, factor, self_mask(excluded, first))
                       : lse_forward({z, block, factor,
                                      block_mask(z, excluded, block, where->first(), first)},
                                     LseDirections::kRows)
                             .rows);
      });
      std::stable_sort(parts.begin(), parts.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      std::vector<at::Tensor> ordered;
      for (const auto& [first, part] : parts) ordered.push_back(part);
      lse = ordered.size() == 1 ? ordered[0] : combine_lse(at::stack(ordered));
    }
    context->save_for_backward({z, scale, lse, excluded, all, excluded_all});
    remember(context, *where, embeddings.scalar_type());
    return lse;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &z = saved[0], &scale = saved[1], &lse = saved[2], &excluded = saved[3],
                     &all = saved[4];
    const GlobalRows where = recall(context);
    const double factor = scale.item<double>();
    const at::Tensor table = from_all({lse, gradients[0]}, where);  // [n, 2]
    at::Tensor gradient;
    if (balanced(where)) {
      const at::Tensor whole =
          self_lse_backward(all, factor, self_mask(saved[5], 0),
                            adjoint_of(table, 0, 0, where.total()), share_of(where));
      gradient = where.communicator.reduce_scatter_sum(whole, where.rows);
    } else {
      const LseAdjoint own = adjoint_of(table, 0, where.first(), z.size(0));
      gradient = no_gradient_yet(z);
      Visitors(z, all, where).for_each([&](const at::Tensor& block, int64_t first) {
        if (is_own(where, block, first))
          self_lse_backward(z, factor, self_mask(excluded, first), own, {}, gradient);
        else
          lse_backward({z, block, factor, block_mask(z, excluded, block, where.first(), first)},
                       own, adjoint_of(table, 0, first, block.size(0)), /*want_anchors=*/true,
                       /*want_candidates=*/false, {gradient, {}});
      });
    }
    variable_list result(5);
    if (context->needs_input_grad(0)) result[0] = gradient.to(type_of(context));
    // Each pair of rows is in the gradient of both: half, on the rank of each.
    if (context->needs_input_grad(1))
      result[1] = scalar_like(scale_gradient(z, gradient, factor) / 2, scale);
    return result;
  }

  static bool balanced(const GlobalRows& where) {
    return where.exchange == Exchange::kBalanced && where.communicator.size() > 1;
  }
  static TileShare share_of(const GlobalRows& where) {
    return {where.communicator.rank(), where.communicator.size()};
  }
  static void remember(AutogradContext* context, const GlobalRows& where, at::ScalarType type) {
    context->saved_data["type"] = static_cast<int64_t>(type);
    context->saved_data["rows"] = where.rows;
    context->saved_data["communicator"] = reinterpret_cast<int64_t>(&where.communicator);
    context->saved_data["exchange"] = static_cast<int64_t>(where.exchange);
  }
  static at::ScalarType type_of(AutogradContext* context) {
    return static_cast<at::ScalarType>(context->saved_data["type"].toInt());
  }
  static GlobalRows recall(AutogradContext* context) {
    return {context->saved_data["rows"].toIntVector(),
            *reinterpret_cast<const Communicator*>(context->saved_data["communicator"].toInt()),
            static_cast<Exchange>(context->saved_data["exchange"].toInt())};
  }
};

struct TwoWayGlobal : Function<TwoWayGlobal> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x_embeddings,
                               const at::Tensor& y_embeddings, const at::Tensor& scale,
                               const GlobalRows* where, const Enter* enter) {
    const at::Tensor x = compute_type(x_embeddings, where->bfloat16);
    const at::Tensor y = compute_type(y_embeddings, where->bfloat16);
    const double factor = scale.item<double>();
    const at::Tensor all_y = gathered(y, *where), all_x = gathered(x, *where);
    (*enter)("loss");
    // Of this rank's x over every y; and, by y of the whole, over this rank's x only.
    std::vector<std::pair<int64_t, TwoWayLse>> parts;
    Visitors(y, all_y, *where).for_each([&](const at::Tensor& block, int64_t first) {
      parts.emplace_back(first, lse_forward({x, block, factor, {}}, LseDirections::kBoth));
    });
    std::stable_sort(parts.begin(), parts.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<at::Tensor> rows, columns;
    for (const auto& [first, part] : parts) {
      rows.push_back(part.rows);
      columns.push_back(part.columns);
    }
    const std::vector<int64_t> one_each(static_cast<size_t>(where->communicator.size()), 1);
    const at::Tensor by_rank =
        where->communicator.all_gather(at::cat(columns).unsqueeze(0), one_each);  // [R, n]
    const at::Tensor row_lse = rows.size() == 1 ? rows[0] : combine_lse(at::stack(rows));
    const at::Tensor column_lse =
        combine_lse(by_rank).narrow(0, where->first(), y.size(0)).contiguous();
    context->save_for_backward({x, y, scale, row_lse, column_lse, all_y, all_x});
    SelfLse::remember(context, *where, x_embeddings.scalar_type());
    return {row_lse, column_lse};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &y = saved[1], &scale = saved[2];
    const GlobalRows where = SelfLse::recall(context);
    const double factor = scale.item<double>();
    // Columns: LSE and gradient by x, then by y.
    const at::Tensor table = from_all({saved[3], gradients[0], saved[4], gradients[1]}, where);
    const LseAdjoint own_x = adjoint_of(table, 0, where.first(), x.size(0));
    const LseAdjoint own_y = adjoint_of(table, 2, where.first(), y.size(0));
    LseGradients found;
    if (where.communicator.size() == 1) {
      found = lse_backward({x, y, factor, {}}, own_x, own_y, true, true);
    } else {
      // One product more than with a reduce-scatter of gradients, and none of its traffic.
      found = {no_gradient_yet(x), no_gradient_yet(y)};
      Visitors(y, saved[5], where).for_each([&](const at::Tensor& block, int64_t first) {
        lse_backward({x, block, factor, {}}, own_x, adjoint_of(table, 2, first, block.size(0)),
                     true, false, {found.anchors, {}});
      });
      Visitors(x, saved[6], where).for_each([&](const at::Tensor& block, int64_t first) {
        lse_backward({y, block, factor, {}}, own_y, adjoint_of(table, 0, first, block.size(0)),
                     true, false, {found.candidates, {}});
      });
    }
    variable_list result(5);
    if (context->needs_input_grad(0)) result[0] = found.anchors.to(SelfLse::type_of(context));
    if (context->needs_input_grad(1)) result[1] = found.candidates.to(SelfLse::type_of(context));
    // Over all ranks, the rows of x alone meet every pair once.
    if (context->needs_input_grad(2))
      result[2] = scalar_like(scale_gradient(x, found.anchors, factor), scale);
    return result;
  }
};

struct PairLogits : Function<PairLogits> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& y,
                            const at::Tensor& scale, bool bfloat16) {
    const at::Tensor a = compute_type(x, bfloat16), b = compute_type(y, bfloat16);
    const at::Tensor dots = row_dots(a, b);
    context->save_for_backward({a, b, scale, dots});
    context->saved_data["type"] = static_cast<int64_t>(x.scalar_type());
    return dots * scale.item<double>();
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::ScalarType type = SelfLse::type_of(context);
    const at::Tensor up = (gradients[0] * saved[2].item<double>()).to(type).unsqueeze(1);
    variable_list result(4);
    if (context->needs_input_grad(0)) result[0] = up * saved[1].to(type);
    if (context->needs_input_grad(1)) result[1] = up * saved[0].to(type);
    if (context->needs_input_grad(2))
      result[2] = scalar_like((gradients[0] * saved[3]).sum().item<double>(), saved[2]);
    return result;
  }
};

}  // namespace

at::Tensor pair_logits(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                       bool bfloat16) {
  TORCH_CHECK(x.sizes() == y.sizes() && x.dim() == 2, "pairs received shapes ", x.sizes(), " and ",
              y.sizes(), "; allowed: twice the same [rows, width]");
  return PairLogits::apply(x, y, scale, bfloat16);
}

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

at::Tensor global_self_lse(const at::Tensor& z, const at::Tensor& scale,
                           const at::Tensor& excluded_columns, const GlobalRows& where,
                           const Enter& enter) {
  check_scale(scale);
  enter("gather");
  check_same_width(z, where);
  return SelfLse::apply(z.contiguous(), scale, LseMask{.excluded_columns = excluded_columns},
                        &where, &enter);
}

TwoWayLse global_two_way_lse(const at::Tensor& x, const at::Tensor& y, const at::Tensor& scale,
                             const GlobalRows& where, const Enter& enter) {
  TORCH_CHECK(where.exchange != Exchange::kBalanced,
              "loss.exchange=balanced shares out a triangle, which two different sets of "
              "embeddings do not have; allowed: gather, ring");
  TORCH_CHECK(x.sizes() == y.sizes(), "the two sides of a contrast have shapes ", x.sizes(),
              " and ", y.sizes(), "; allowed: the same [rows, width]");
  check_scale(scale);
  enter("gather");
  check_same_width(x, where);
  check_same_width(y, where);
  const variable_list found =
      TwoWayGlobal::apply(x.contiguous(), y.contiguous(), scale, &where, &enter);
  return {found[0], found[1]};
}

}  // namespace cltrain
