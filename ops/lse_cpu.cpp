// A pass visits pairs of blocks (ops/lse_schedule.h); within a pair, kTileRows rows at a time:
// products into a tile of logits that stays in the second-level cache, then exponentials and sums
// (forward), or weights and two further products (backward).
#include "ops/lse_cpu.h"

#include "ops/lse_products.h"
#include "ops/lse_schedule.h"
#include "ops/lse_tile.h"
#include "ops/row_dots.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

namespace cltrain {
namespace {

constexpr double kLargestExponent = 126;

int64_t padded(int64_t count) {
  return (count + kTileLanes - 1) / kTileLanes * kTileLanes;
}

/// A sum of powers of two, kept as sum * 2^reference.
struct Sum {
  double reference = -std::numeric_limits<double>::infinity();
  double sum = 0;

  void add(double other_reference, double terms) {
    if (terms == 0) return;
    if (other_reference > reference) {
      sum = sum * std::exp2(reference - other_reference) + terms;
      reference = other_reference;
    } else {
      sum += other_reference == reference ? terms : terms * std::exp2(other_reference - reference);
    }
  }
  double log() const { return (reference + std::log2(sum)) / std::numbers::log2e; }
};

at::Tensor logs(const std::vector<Sum>& sums) {
  at::Tensor result = at::empty({static_cast<int64_t>(sums.size())}, at::kDouble);
  auto* out = result.mutable_data_ptr<double>();
  for (size_t i = 0; i < sums.size(); ++i)
    out[i] = sums[i].sum > 0 ? sums[i].log() : -std::numeric_limits<double>::infinity();
  return result;
}

/// LSEs to base 2 and gradients times scale, as the tiles read them.
struct Adjoint {
  std::vector<double> lse2, gradient;

  Adjoint(const LseAdjoint& adjoint, double scale, int64_t count)
      : lse2(static_cast<size_t>(count), kNeverLse), gradient(static_cast<size_t>(count), 0.0) {
    if (!adjoint.lse.defined()) return;
    const at::Tensor lse = adjoint.lse.contiguous(), up = adjoint.gradient.contiguous();
    for (int64_t i = 0; i < count; ++i) {
      const double value = lse.const_data_ptr<double>()[i];
      if (std::isinf(value)) continue;  // nothing was allowed: no gradient
      lse2[i] = value * std::numbers::log2e;
      gradient[i] = up.const_data_ptr<double>()[i] * scale;
    }
  }
  template <class Real>
  void shared(int64_t first, int64_t count, double reference, Real* factor) const {
    for (int64_t i = 0; i < count; ++i) {
      // Beyond the largest factor are rows whose logits a mask has all removed from the tile.
      const double exponent = std::min(reference - lse2[first + i], 1000.0);
      const double largest = std::exp2(kLargestExponent);
      factor[i] = static_cast<Real>(
          std::clamp(gradient[first + i] * std::exp2(exponent), -largest, largest));
    }
  }
  template <class Real>
  void apart(int64_t first, int64_t count, Real* factor, Real* references) const {
    for (int64_t i = 0; i < count; ++i) {
      references[i] = static_cast<Real>(lse2[first + i]);
      // What rounding takes from the reference goes into the factor.
      const double lost = gradient[first + i] == 0 ? 0 : references[i] - lse2[first + i];
      factor[i] = static_cast<Real>(gradient[first + i] * std::exp2(lost));
    }
  }
};

double largest_norm(const at::Tensor& rows) {
  // A NaN comes through max().
  return rows.size(0) == 0 ? 0 : std::sqrt(row_dots(rows, rows).max().item<double>());
}

template <class In>
class Engine {
  using Real = typename Accumulator<In>::Type;

 public:
  Engine(const LseProblem& problem, bool self, TileShare share, bool backward, bool want_candidates)
      : problem_(problem),
        self_(self),
        share_(share),
        row_blocks_(problem.anchors.size(0)),
        column_blocks_(problem.candidates.size(0)),
        scale_(problem.scale),
        anchors_(problem.anchors, row_blocks_, self, backward && (self || want_candidates)),
        other_(self ? at::empty({0, problem.anchors.size(1)}, problem.anchors.options())
                    : problem.candidates,
               column_blocks_, !self, !self && backward) {
    const double norm = largest_norm(problem.anchors);
    const double other_norm = self ? norm : largest_norm(problem.candidates);
    bound2_ = problem.scale * norm * other_norm * std::numbers::log2e;
    const auto threads = static_cast<size_t>(at::get_num_threads());
    scratch_.resize(threads);
    const LseMask& mask = problem.mask;
    if (mask.excluded_columns.defined())
      excluded_ = mask.excluded_columns.to(at::kLong).contiguous();
    if (mask.labels != LseMask::Labels::kIgnored) {
      row_labels_ = mask.row_labels.contiguous();
      column_labels_ = mask.column_labels.contiguous();
    }
  }

  bool finite() const { return std::isfinite(bound2_); }

  TwoWayLse forward(LseDirections directions) {
    const bool both = directions == LseDirections::kBoth;
    std::vector<Sum> rows(row_blocks_.count), columns(both ? column_blocks_.count : 0);
    visit(schedule(both), [&](BlockPair pair, Scratch& scratch) {
      sums_of(pair, rows,
              self_ ? (pair.row == pair.column ? nullptr : &rows) : (both ? &columns : nullptr),
              scratch);
    });
    return {logs(rows), both ? logs(columns) : at::Tensor()};
  }

  LseGradients backward(const LseAdjoint& rows, const LseAdjoint& columns, bool want_anchors,
                        bool want_candidates, const LseGradients& into) {
    const Adjoint by_row(rows, problem_.scale, row_blocks_.count);
    const Adjoint by_column =
        self_ ? by_row : Adjoint(columns, problem_.scale, column_blocks_.count);
    const auto type = c10::CppTypeToScalarType<Real>::value;
    const auto output = [&](const at::Tensor& given, int64_t count) {
      return given.defined() ? given : at::zeros({count, anchors_.depth()}, type);
    };
    LseGradients found;
    if (want_anchors) found.anchors = output(into.anchors, row_blocks_.count);
    if (want_candidates && !self_) found.candidates = output(into.candidates, column_blocks_.count);
    Real* anchors = want_anchors ? found.anchors.template mutable_data_ptr<Real>() : nullptr;
    Real* candidates =
        self_ ? anchors
              : (want_candidates ? found.candidates.template mutable_data_ptr<Real>() : nullptr);
    visit(schedule(want_candidates), [&](BlockPair pair, Scratch& scratch) {
      gradients_of(pair, by_row, by_column, anchors, candidates, scratch);
    });
    return found;
  }

 private:
  /// One thread's tile and what goes with it; made at its first use.
  struct Scratch {
    std::vector<Real> s, row_factor, row_reference, column_factor, column_reference;
    std::vector<double> row_sums, column_sums;
    std::vector<Real> row_references, column_references;
    std::vector<In> weights, transposed;
  };

  const Packed<In>& columns() const { return self_ ? anchors_ : other_; }
  const Blocks& column_blocks() const { return self_ ? row_blocks_ : column_blocks_; }

  LseSchedule schedule(bool writes_columns) const {
    using Kind = LseSchedule::Kind;
    const Kind kind = self_ ? Kind::kTriangle : writes_columns ? Kind::kRectangle : Kind::kRows;
    return {kind, row_blocks_.blocks(), column_blocks().blocks(), share_};
  }

  // Lanes of a round are handed out one by one, so that a thread which is held up delays one lane.
  template <class Work>
  void visit(const LseSchedule& schedule, Work&& work) {
    const int64_t threads = at::get_num_threads();
    for (int64_t round = 0; round < schedule.rounds(); ++round) {
      std::atomic<int64_t> next{0};
      at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
        Scratch& scratch = scratch_[static_cast<size_t>(at::get_thread_num())];
        for (int64_t lane; (lane = next.fetch_add(1)) < schedule.lanes(round);)
          for (int64_t step = 0; step < schedule.steps(); ++step)
            if (const BlockPair pair = schedule.pair(round, lane, step); !pair.none())
              work(pair, scratch);
        release_products<In>();
      });
    }
  }

  // The tile of rows first .. first + count - 1 and the columns of `block`, masked and filled up.
  Tile<Real> logits(int64_t first, int64_t count, int64_t block, Scratch& scratch) {
    scratch.s.resize(kTileRows * kTileColumns);
    const int64_t width = column_blocks().rows(block);
    const Tile<Real> tile{scratch.s.data(), count, width, padded(width)};
    anchors_.similarities(first, count, columns(), block, tile.s, tile.stride);
    for (int64_t row = 0; row < padded(count); ++row)
      std::fill(tile.s + row * tile.stride + (row < count ? width : 0),
                tile.s + (row + 1) * tile.stride, static_cast<Real>(kMaskedProduct));
    return tile;
  }

  void mask(const Tile<Real>& tile, int64_t first, int64_t block) const {
    const int64_t begin = column_blocks().begin(block);
    for (int64_t row = 0; row < tile.rows; ++row) {
      Real* s = tile.s + row * tile.stride;
      const auto exclude = [&](int64_t column) {
        if (column >= begin && column < begin + tile.columns) s[column - begin] = kMaskedProduct;
      };
      if (self_) exclude(first + row);
      for (int64_t e = 0; excluded_.defined() && e < excluded_.size(1); ++e)
        exclude(excluded_.const_data_ptr<int64_t>()[(first + row) * excluded_.size(1) + e]);
      if (!row_labels_.defined()) continue;
      const int64_t label = row_labels_.const_data_ptr<int64_t>()[first + row];
      const int64_t* others = column_labels_.const_data_ptr<int64_t>() + begin;
      const bool wanted = problem_.mask.labels == LseMask::Labels::kOnlyEqual;
      for (int64_t column = 0; column < tile.columns; ++column)
        if ((others[column] == label) != wanted) s[column] = kMaskedProduct;
    }
  }

  struct Reference {
    bool shared;
    Real value;
  };
  // Before masking: what a mask removes would only widen the range.
  Reference reference_of(const Tile<Real>& tile) const {
    if (2 * bound2_ < kSharedRange) return {true, static_cast<Real>(bound2_)};
    const LogitRange<Real> range = range_of(tile);
    const double width = (static_cast<double>(range.highest) - range.lowest) * scale_.high;
    return {width < kSharedRange, range.highest * scale_.high};
  }

  void sums_of(BlockPair pair, std::vector<Sum>& rows, std::vector<Sum>* columns,
               Scratch& scratch) {
    scratch.row_sums.resize(kTileRows);
    scratch.column_sums.resize(kTileColumns);
    scratch.row_references.resize(kTileRows);
    scratch.column_references.resize(kTileColumns);
    const int64_t begin = row_blocks_.begin(pair.row), end = begin + row_blocks_.rows(pair.row);
    const int64_t column_begin = column_blocks().begin(pair.column);
    for (int64_t first = begin; first < end; first += kTileRows) {
      const Tile<Real> tile = logits(first, std::min(kTileRows, end - first), pair.column, scratch);
      const Reference reference = reference_of(tile);
      mask(tile, first, pair.column);
      double* column_sums = columns ? scratch.column_sums.data() : nullptr;
      if (reference.shared) {
        sum_shared(tile, scale_, reference.value, scratch.row_sums.data(), column_sums);
      } else {
        sum_by_row(tile, scale_, scratch.row_references.data(), scratch.row_sums.data());
        if (columns) sum_by_column(tile, scale_, scratch.column_references.data(), column_sums);
      }
      for (int64_t i = 0; i < tile.rows; ++i)
        rows[first + i].add(reference.shared ? reference.value : scratch.row_references[i],
                            scratch.row_sums[i]);
      for (int64_t j = 0; columns && j < tile.columns; ++j)
        (*columns)[column_begin + j].add(
            reference.shared ? reference.value : scratch.column_references[j], column_sums[j]);
    }
  }

  void gradients_of(BlockPair pair, const Adjoint& by_row, const Adjoint& by_column, Real* anchors,
                    Real* candidates, Scratch& scratch) {
    // A block against itself holds both of each pair: one product serves both ways.
    if (self_ && pair.row == pair.column) candidates = nullptr;
    scratch.row_factor.assign(kTileRows, 0);
    scratch.row_reference.assign(kTileRows, 0);
    scratch.column_factor.assign(kTileColumns, 0);
    scratch.column_reference.assign(kTileColumns, 0);
    In* weights = nullptr;
    if constexpr (std::is_same_v<In, at::BFloat16>) {
      scratch.weights.resize(kTileRows * kTileColumns);
      weights = scratch.weights.data();
    }
    if (candidates) scratch.transposed.resize(kTileColumns * kTileRows);
    const int64_t begin = row_blocks_.begin(pair.row), end = begin + row_blocks_.rows(pair.row);
    const int64_t column_begin = column_blocks().begin(pair.column);
    for (int64_t first = begin; first < end; first += kTileRows) {
      const Tile<Real> tile = logits(first, std::min(kTileRows, end - first), pair.column, scratch);
      if constexpr (!std::is_same_v<In, at::BFloat16>) weights = tile.s;
      const Reference reference = reference_of(tile);
      mask(tile, first, pair.column);
      std::fill(scratch.row_factor.begin(), scratch.row_factor.end(), Real{0});
      if (reference.shared) {
        by_row.shared(first, tile.rows, reference.value, scratch.row_factor.data());
        by_column.shared(column_begin, tile.columns, reference.value, scratch.column_factor.data());
      } else {
        by_row.apart(first, tile.rows, scratch.row_factor.data(), scratch.row_reference.data());
        by_column.apart(column_begin, tile.columns, scratch.column_factor.data(),
                        scratch.column_reference.data());
      }
      const WeightTile<In> out{weights, candidates ? scratch.transposed.data() : nullptr,
                               kTileRows};
      weigh(tile, scale_,
            {reference.shared, reference.value, scratch.row_factor.data(),
             scratch.column_factor.data(), scratch.row_reference.data(),
             scratch.column_reference.data()},
            out);
      if (anchors)
        columns().accumulate(weights, tile.rows, tile.columns, tile.stride, column_begin,
                             anchors + first * anchors_.depth());
      if (candidates)
        anchors_.accumulate(scratch.transposed.data(), tile.columns, tile.rows, kTileRows, first,
                            candidates + column_begin * anchors_.depth());
    }
  }

  const LseProblem& problem_;
  bool self_;
  TileShare share_;
  Blocks row_blocks_, column_blocks_;
  Base2Scale<Real> scale_;
  Packed<In> anchors_, other_;
  double bound2_ = 0;
  at::Tensor excluded_, row_labels_, column_labels_;
  std::vector<Scratch> scratch_;
};

TwoWayLse not_a_number(const LseProblem& problem, LseDirections directions) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  return {at::full({problem.anchors.size(0)}, nan, at::kDouble),
          directions == LseDirections::kBoth
              ? at::full({problem.candidates.size(0)}, nan, at::kDouble)
              : at::Tensor()};
}

template <class In>
TwoWayLse forward(const LseProblem& problem, LseDirections directions, bool self, TileShare share) {
  Engine<In> engine(problem, self, share, /*backward=*/false, false);
  return engine.finite() ? engine.forward(directions) : not_a_number(problem, directions);
}

template <class In>
LseGradients backward(const LseProblem& problem, const LseAdjoint& rows, const LseAdjoint& columns,
                      bool want_anchors, bool want_candidates, bool self, TileShare share,
                      const LseGradients& into) {
  Engine<In> engine(problem, self, share, /*backward=*/true, want_candidates);
  if (engine.finite()) return engine.backward(rows, columns, want_anchors, want_candidates, into);
  const auto type = c10::CppTypeToScalarType<typename Accumulator<In>::Type>::value;
  const auto nan = [&](const at::Tensor& sum, const at::Tensor& like) {
    const at::Tensor found = sum.defined() ? sum : at::empty(like.sizes(), type);
    return found.fill_(std::numeric_limits<double>::quiet_NaN());
  };
  return {want_anchors ? nan(into.anchors, problem.anchors) : at::Tensor(),
          want_candidates && !self ? nan(into.candidates, problem.candidates) : at::Tensor()};
}

// bfloat16 where the machine multiplies it, else the same values in float32.
template <class Call>
auto by_type(const LseProblem& problem, Call&& call) {
  switch (problem.anchors.scalar_type()) {
    case at::kDouble:
      return call(double{}, problem);
    case at::kBFloat16:
      if (has_bfloat16_products()) return call(at::BFloat16{}, problem);
      [[fallthrough]];
    default: {
      LseProblem wide = problem;
      wide.anchors = problem.anchors.to(at::kFloat);
      wide.candidates = problem.candidates.to(at::kFloat);
      return call(float{}, wide);
    }
  }
}

}  // namespace

TwoWayLse lse_forward_cpu(const LseProblem& problem, LseDirections directions, bool self,
                          TileShare share) {
  return by_type(problem, [&](auto type, const LseProblem& typed) {
    return forward<decltype(type)>(typed, directions, self, share);
  });
}

LseGradients lse_backward_cpu(const LseProblem& problem, const LseAdjoint& rows,
                              const LseAdjoint& columns, bool want_anchors, bool want_candidates,
                              bool self, TileShare share, const LseGradients& into) {
  return by_type(problem, [&](auto type, const LseProblem& typed) {
    return backward<decltype(type)>(typed, rows, columns, want_anchors, want_candidates, self,
                                    share, into);
  });
}

}  // namespace cltrain
