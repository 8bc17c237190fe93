// LseKernels (ops/lse_kernels.h) on CPU memory: the per-thread code of the CUDA kernels, with
// fibers for threads and plain loops for matrix products and copies into shared memory. Blocks and
// tiles are visited as in ops/lse_kernels.cu and ops/lse_fused_*.cu.
#pragma once

#include "ops/lse_kernels.h"
#include "tests/support/fibers.h"

#include <vector>

#include <c10/util/BFloat16.h>

namespace cltrain {

class EmulatedKernels : public LseKernels {
 public:
  explicit EmulatedKernels(bool fused) : fused_(fused) {}

  void multiply(const BlasProduct& p) override {
    products += 1;
    if (p.type == LseElement::kDouble)
      multiply_as<double, double>(p);
    else if (p.type == LseElement::kFloat)
      multiply_as<float, float>(p);
    else
      multiply_as<c10::BFloat16, float>(p);
  }

  void sum_rows(const LogitsView<float>& logits, LseSum<double>* rows) override {
    blocks_with_barriers(logits.rows, [&](const Block& block) { sum_row(block, logits, rows); });
  }
  void sum_rows(const LogitsView<double>& logits, LseSum<double>* rows) override {
    blocks_with_barriers(logits.rows, [&](const Block& block) { sum_row(block, logits, rows); });
  }
  void sum_columns(const LogitsView<float>& logits, LseSum<double>* parts) override {
    column_blocks(logits, parts);
  }
  void sum_columns(const LogitsView<double>& logits, LseSum<double>* parts) override {
    column_blocks(logits, parts);
  }
  void merge(const LseSum<float>* parts, int64_t count, int64_t n, LseSum<double>* sums) override {
    lines(n, [&](const Block& block) { merge_parts(block, parts, count, n, sums); });
  }
  void merge(const LseSum<double>* parts, int64_t count, int64_t n, LseSum<double>* sums) override {
    lines(n, [&](const Block& block) { merge_parts(block, parts, count, n, sums); });
  }
  void logs(const LseSum<double>* sums, int64_t n, double* lse) override {
    lines(n, [&](const Block& block) { take_logs(block, sums, n, lse); });
  }
  void make_factors(const AdjointView& adjoint, int64_t padded,
                    LseFactor<float>* factors) override {
    lines(padded, [&](const Block& b) { cltrain::make_factors(b, adjoint, padded, factors); });
  }
  void make_factors(const AdjointView& adjoint, int64_t padded,
                    LseFactor<double>* factors) override {
    lines(padded, [&](const Block& b) { cltrain::make_factors(b, adjoint, padded, factors); });
  }
  void weigh(const LogitsView<float>& logits, const FactorsView<float>& factors, float* out,
             int64_t stride) override {
    weigh_blocks(logits, factors, out, stride);
  }
  void weigh(const LogitsView<float>& logits, const FactorsView<float>& factors, uint16_t* out,
             int64_t stride) override {
    weigh_blocks(logits, factors, out, stride);
  }
  void weigh(const LogitsView<double>& logits, const FactorsView<double>& factors, double* out,
             int64_t stride) override {
    weigh_blocks(logits, factors, out, stride);
  }

  bool has_fused() const override { return fused_; }

  void fused_sums(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                  const LseSumParts& parts) override {
    warpgroups<kFusedColumns>(problem, splits, [&](const Group& group, int first_row, int split) {
      SumTiles<kFusedColumns, Group> sums(group, problem, parts, first_row, split);
      visit<kFusedColumns>(operands, problem, splits, split, group, first_row,
                           [&](float* s, int column) { sums.tile(s, column); });
      sums.finish();
    });
  }

  void fused_weights(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                     const FusedFactors& factors, uint16_t* weights, int64_t stride) override {
    weight_tiles += 1;
    warpgroups<kFusedColumns>(problem, splits, [&](const Group& group, int first_row, int split) {
      WeighTiles<kFusedColumns, Group> weigh(group, problem, factors.rows,
                                             factors.columns != nullptr, first_row);
      visit<kFusedColumns>(
          operands, problem, splits, split, group, first_row, [&](float* s, int column) {
            weigh.tile(s, column, factors.columns + column);
            store_weights<kFusedColumns>(group, problem, s, first_row, column, weights, stride);
          });
    });
  }

  void fused_gradient(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                      const FusedFactors& factors, float* gradient) override {
    if (operands.width <= 64)
      gradient_of<64, 128>(operands, problem, splits, factors, gradient);
    else if (operands.width <= 128)
      gradient_of<128, 128>(operands, problem, splits, factors, gradient);
    else
      gradient_of<256, 64>(operands, problem, splits, factors, gradient);
  }

  /// How often they were called.
  int products = 0, weight_tiles = 0;

 private:
  struct Block {
    Fibers* fibers;
    LseSum<double>* shared;
    int thread_, x_, y_;
    int thread() const { return thread_; }
    int threads() const { return kRowThreads; }
    int x() const { return x_; }
    int y() const { return y_; }
    void sync() const { fibers->sync(); }
    LseSum<double>* sums() const { return shared; }
  };
  struct Group {
    Fibers* fibers;
    LseSum<float>* shared;
    float* exchange_weights;  // [64][kTile]: what the second product reads of other lanes
    int thread_;
    int thread() const { return thread_; }
    template <class T>
    T exchange(T value, int mask) const {
      return fibers->exchange(value, mask);
    }
    void sync() const { fibers->sync(); }
    LseSum<float>* columns() const { return shared; }
  };

  template <class In, class Out>
  static void multiply_as(const BlasProduct& p) {
    const auto *a = static_cast<const In*>(p.a), *b = static_cast<const In*>(p.b);
    auto* c = static_cast<Out*>(p.c);
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t j = 0; j < p.n; ++j) {
        double sum = 0;
        for (int64_t at = 0; at < p.k; ++at)
          sum += static_cast<double>(a[p.transpose_a ? at + i * p.lda : i + at * p.lda]) *
                 static_cast<double>(b[p.transpose_b ? j + at * p.ldb : at + j * p.ldb]);
        Out& out = c[i + j * p.ldc];
        out = static_cast<Out>(p.beta == 0 ? sum : sum + p.beta * static_cast<double>(out));
      }
  }

  template <class Body>
  void blocks(int64_t x_count, int64_t y_count, const Body& body) {
    for (int y = 0; y < y_count; ++y)
      for (int x = 0; x < x_count; ++x)
        for (int thread = 0; thread < kRowThreads; ++thread)
          body(Block{nullptr, nullptr, thread, x, y});
  }
  /// Of kernels whose threads wait for each other.
  template <class Body>
  void blocks_with_barriers(int64_t x_count, const Body& body) {
    std::vector<LseSum<double>> shared(kRowThreads);
    for (int x = 0; x < x_count; ++x)
      fibers_.run(kRowThreads, [&](int thread) {
        body(Block{&fibers_, shared.data(), thread, x, 0});
      });
  }
  template <class Body>
  void lines(int64_t n, const Body& body) {
    blocks(parts_of(n, kRowThreads), 1, body);
  }
  template <class Real>
  void column_blocks(const LogitsView<Real>& logits, LseSum<double>* parts) {
    blocks(parts_of(logits.columns, kRowThreads), parts_of(logits.rows, kColumnRows),
           [&](const Block& block) { cltrain::sum_columns(block, logits, parts); });
  }
  template <class Real, class Out>
  void weigh_blocks(const LogitsView<Real>& logits, const FactorsView<Real>& factors, Out* out,
                    int64_t stride) {
    blocks(logits.rows, parts_of(logits.columns, kWeighColumns),
           [&](const Block& block) { weigh_row(block, logits, factors, out, stride); });
  }

  /// Every consumer warpgroup of every block.
  template <int kColumns, class Body>
  void warpgroups(const LseTileProblem& problem, int splits, const Body& body) {
    std::vector<LseSum<float>> shared(4 * kColumns);
    std::vector<float> weights(64 * kColumns);
    for (int64_t block = 0; block < parts_of(problem.rows, kFusedRows); ++block)
      for (int split = 0; split < splits; ++split)
        for (int index = 0; index < kFusedRows / 64; ++index)
          fibers_.run(128, [&](int thread) {
            body(Group{&fibers_, shared.data(), weights.data(), thread},
                 static_cast<int>(block) * kFusedRows + index * 64, split);
          });
  }

  /// A number of a row as the copy engine brings it: zero outside of the matrix.
  static double element(const void* rows, int64_t row, int64_t count, int column, int width) {
    if (row >= count || column >= width) return 0;
    return static_cast<const c10::BFloat16*>(rows)[row * width + column];
  }

  /// The tiles of one part of the columns, as a thread's fragment of products.
  template <int kColumns, class Use>
  static void visit(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                    int split, const Group& group, int first_row, const Use& use) {
    using F = Fragment<kColumns>;
    const LseSpan tiles =
        span_of(split, splits, static_cast<int>(parts_of(problem.columns, kColumns)));
    for (int tile = tiles.begin; tile < tiles.end; ++tile) {
      float s[F::kValues];
      for (int c = 0; c < F::kEach; ++c)
        for (int half = 0; half < 2; ++half) {
          double sum = 0;
          for (int d = 0; d < operands.width; ++d)
            sum += element(operands.anchors, first_row + F::row(group.thread(), half), problem.rows,
                           d, operands.width) *
                   element(operands.candidates, tile * kColumns + F::column(group.thread(), c),
                           problem.columns, d, operands.width);
          s[F::value(half, c)] = static_cast<float>(sum);
        }
      use(s, tile * kColumns);
    }
  }

  template <int kWidth, int kTile>
  void gradient_of(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                   const FusedFactors& factors, float* gradient) {
    using F = Fragment<kTile>;
    using G = Fragment<kWidth>;
    warpgroups<kTile>(problem, splits, [&](const Group& group, int first_row, int split) {
      WeighTiles<kTile, Group> weigh(group, problem, factors.rows, factors.columns != nullptr,
                                     first_row);
      float sums[G::kValues] = {};
      visit<kTile>(operands, problem, splits, split, group, first_row, [&](float* s, int column) {
        weigh.tile(s, column, factors.columns + column);
        for (int c = 0; c < F::kEach; ++c)
          for (int half = 0; half < 2; ++half)
            group.exchange_weights[F::row(group.thread(), half) * kTile +
                                   F::column(group.thread(), c)] =
                c10::BFloat16(s[F::value(half, c)]);
        group.sync();
        for (int d = 0; d < G::kEach; ++d)
          for (int half = 0; half < 2; ++half)
            for (int j = 0; j < kTile; ++j)
              sums[G::value(half, d)] +=
                  group.exchange_weights[G::row(group.thread(), half) * kTile + j] *
                  static_cast<float>(element(operands.candidates, column + j, problem.columns,
                                             G::column(group.thread(), d), operands.width));
        group.sync();
      });
      store_sums<kWidth>(group, problem, sums, first_row, operands.width,
                         gradient + int64_t{split} * problem.rows * operands.width);
    });
  }

  Fibers fibers_;
  bool fused_;
};

}  // namespace cltrain
