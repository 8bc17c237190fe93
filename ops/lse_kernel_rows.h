// The portable kernels of the loss engine (ops/lse_kernels.cu): logits that a matrix product has
// written to memory, [rows][columns] with a stride, read once. Free of CUDA: `Block` stands for the
// threads of a block, so that tests/ops/lse_kernel_test.cpp runs these very functions with fibers
// for threads. A Block has thread(), threads(), x(), y() (its place in the grid), and
//   void sync()                   all threads
//   LseSum<double>* sums()        [threads()], shared by them
// Every sum has one fixed order.
#pragma once

#include "ops/lse_kernel_math.h"

namespace cltrain {

/// Threads of a block, columns a block of weights takes, rows of one partial sum of columns.
inline constexpr int kRowThreads = 256, kWeighColumns = 1024, kColumnRows = 256;

/// Products of a chunk of rows with all candidates, and what turns them into logits.
template <class Real>
struct LogitsView {
  Real* s;
  int64_t stride;
  int rows, columns;
  LseMaskView mask;  ///< of these rows
  Base2Scale<Real> scale;
};

/// Block x: the sum of row x.
template <class Real, class Block>
CLTRAIN_HOST_DEVICE inline void sum_row(const Block& block, const LogitsView<Real>& logits,
                                        LseSum<double>* rows) {
  const int row = block.x(), thread = block.thread();
  const LseRowRule rule = row_rule(logits.mask, row, logits.rows);
  const Real* s = logits.s + row * logits.stride;
  LseSum<Real> own;
  for (int column = thread; column < logits.columns; column += block.threads())
    if (allows(logits.mask, rule, column)) own.add_product(s[column], logits.scale);
  LseSum<double>* sums = block.sums();
  sums[thread] = LseSum<double>{};
  sums[thread].add(own);
  for (int step = block.threads() / 2; step > 0; step /= 2) {
    block.sync();
    if (thread < step) sums[thread].add(sums[thread + step]);
  }
  if (thread == 0) rows[row] = sums[0];
}

/// Block (x, y): columns 256 x .. over rows kColumnRows y ..; into parts [y][columns].
template <class Real, class Block>
CLTRAIN_HOST_DEVICE inline void sum_columns(const Block& block, const LogitsView<Real>& logits,
                                            LseSum<double>* parts) {
  const int column = block.x() * block.threads() + block.thread();
  if (column >= logits.columns) return;
  const int begin = block.y() * kColumnRows;
  const int end = begin + kColumnRows < logits.rows ? begin + kColumnRows : logits.rows;
  LseSum<Real> own;
  for (int row = begin; row < end; ++row)
    if (allows(logits.mask, row_rule(logits.mask, row, logits.rows), column))
      own.add_product(logits.s[row * logits.stride + column], logits.scale);
  LseSum<double> sum;
  sum.add(own);
  parts[int64_t{block.y()} * logits.columns + column] = sum;
}

/// sums[i] and parts [count][n] in order; one i a thread.
template <class Real, class Block>
CLTRAIN_HOST_DEVICE inline void merge_parts(const Block& block, const LseSum<Real>* parts,
                                            int64_t count, int64_t n, LseSum<double>* sums) {
  const int64_t i = int64_t{block.x()} * block.threads() + block.thread();
  if (i >= n) return;
  LseSum<double> sum = sums[i];
  for (int64_t part = 0; part < count; ++part) sum.add(parts[part * n + i]);
  sums[i] = sum;
}

template <class Block>
CLTRAIN_HOST_DEVICE inline void take_logs(const Block& block, const LseSum<double>* sums, int64_t n,
                                          double* lse) {
  const int64_t i = int64_t{block.x()} * block.threads() + block.thread();
  if (i < n) lse[i] = sums[i].log();
}

/// LSEs and gradients of one direction.
struct AdjointView {
  const double *lse, *gradient;
  int64_t count;
  double scale;
  bool shared;
  double bound;
};

/// factors [padded]: of the rows that bring any, then zeros.
template <class Real, class Block>
CLTRAIN_HOST_DEVICE inline void make_factors(const Block& block, const AdjointView& adjoint,
                                             int64_t padded, LseFactor<Real>* factors) {
  const int64_t i = int64_t{block.x()} * block.threads() + block.thread();
  if (i >= padded) return;
  factors[i] =
      i < adjoint.count
          ? factor_of<Real>(adjoint.lse[i], adjoint.gradient[i], adjoint.scale, adjoint.shared,
                            adjoint.bound)
          : LseFactor<Real>{0, static_cast<Real>(adjoint.shared ? adjoint.bound : kNeverLse)};
}

CLTRAIN_HOST_DEVICE inline void store_weight(float value, float* to) {
  *to = value;
}
CLTRAIN_HOST_DEVICE inline void store_weight(double value, double* to) {
  *to = value;
}
CLTRAIN_HOST_DEVICE inline void store_weight(float value, uint16_t* to) {
  *to = bfloat16_bits(value);
}

/// Factors of rows [rows] and of columns [columns]; either may be null.
template <class Real>
struct FactorsView {
  const LseFactor<Real>*rows, *columns;
};

/// Block (x, y): weights of row x, columns kWeighColumns y .., into out [rows][stride]; out may be
/// the logits themselves.
template <class Real, class Out, class Block>
CLTRAIN_HOST_DEVICE inline void weigh_row(const Block& block, const LogitsView<Real>& logits,
                                          const FactorsView<Real>& factors, Out* out,
                                          int64_t stride) {
  const int row = block.x();
  const LseRowRule rule = row_rule(logits.mask, row, logits.rows);
  const LseFactor<Real> own =
      factors.rows ? factors.rows[row] : LseFactor<Real>{0, static_cast<Real>(kNeverLse)};
  const int begin = block.y() * kWeighColumns;
  const int end = begin + kWeighColumns < logits.columns ? begin + kWeighColumns : logits.columns;
  for (int column = begin + block.thread(); column < end; column += block.threads()) {
    Real weight = 0;
    if (allows(logits.mask, rule, column))
      weight = weight_of(logits.s[row * logits.stride + column], logits.scale, own,
                         factors.columns ? factors.columns + column : nullptr, false);
    store_weight(weight, out + row * stride + column);
  }
}

}  // namespace cltrain
