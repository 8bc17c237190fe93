// Chunks of logits in memory: a product by cuBLAS, then one kernel that reads them once.
#include "ops/lse_cuda_pass.h"

#include <algorithm>
#include <type_traits>

namespace cltrain {
namespace {

/// Visits the share's rows chunk by chunk with their products, in a buffer that `bytes_beside` a
/// pair (of weights) leave room for.
template <class Real, class Work>
void visit_chunks(const LsePass& pass, int64_t bytes_beside, Work&& work) {
  const int64_t columns = pass.columns(), width = pass.width();
  const int64_t size =
      chunk_rows(pass.end - pass.begin, columns * static_cast<int64_t>(sizeof(Real) + bytes_beside),
                 pass.workspace);
  const at::Tensor products = pass.room({size, columns}, c10::CppTypeToScalarType<Real>::value);
  for (int64_t begin = pass.begin; begin < pass.end; begin += size) {
    const int64_t rows = std::min(size, pass.end - begin);
    const at::Tensor anchors = pass.problem.anchors.narrow(0, begin, rows);
    // Row-major matrices are the transposed of what BLAS sees: S^T = C A^T.
    pass.kernels.multiply({.type = pass.element(),
                           .transpose_a = true,
                           .transpose_b = false,
                           .m = static_cast<int>(columns),
                           .n = static_cast<int>(rows),
                           .k = static_cast<int>(width),
                           .a = pass.problem.candidates.const_data_ptr(),
                           .lda = width,
                           .b = anchors.const_data_ptr(),
                           .ldb = width,
                           .c = products.data_ptr(),
                           .ldc = columns,
                           .beta = 0});
    work(LogitsView<Real>{as<Real>(products), columns, static_cast<int>(rows),
                          static_cast<int>(columns), pass.mask().from(begin),
                          Base2Scale<Real>(pass.problem.scale)},
         begin, anchors);
  }
}

template <class Real>
TwoWayLse forward(const LsePass& pass, LseDirections directions) {
  const at::Tensor rows = pass.no_sums(pass.rows());
  const bool both = directions == LseDirections::kBoth;
  const at::Tensor columns = both ? pass.no_sums(pass.columns()) : at::Tensor();
  visit_chunks<Real>(pass, 0,
                     [&](const LogitsView<Real>& logits, int64_t begin, const at::Tensor&) {
                       pass.kernels.sum_rows(logits, as<LseSum<double>>(rows) + begin);
                       if (!both) return;
                       const int64_t count = parts_of(logits.rows, kColumnRows);
                       const at::Tensor parts = pass.room({count, logits.columns, 2}, at::kDouble);
                       pass.kernels.sum_columns(logits, as<LseSum<double>>(parts));
                       pass.kernels.merge(as<LseSum<double>>(parts), count, logits.columns,
                                          as<LseSum<double>>(columns));
                     });
  return {pass.logs(rows), both ? pass.logs(columns) : at::Tensor()};
}

template <class Real>
void backward(const LsePass& pass, const LseAdjoint& rows, const LseAdjoint& columns,
              const LseGradients& into) {
  const at::Tensor by_row = factors_of<Real>(pass, rows, pass.rows(), false, false, 0);
  const at::Tensor by_column = factors_of<Real>(pass, columns, pass.columns(), false, false, 0);
  const bool narrow = pass.element() == LseElement::kBFloat16;
  at::Tensor weights;  // bfloat16; others take the place of the products
  visit_chunks<Real>(
      pass, narrow ? 2 : 0,
      [&](const LogitsView<Real>& logits, int64_t begin, const at::Tensor& anchors) {
        const FactorsView<Real> factors{
            by_row.defined() ? as<LseFactor<Real>>(by_row) + begin : nullptr,
            by_column.defined() ? as<LseFactor<Real>>(by_column) : nullptr};
        void* p = logits.s;
        if constexpr (std::is_same_v<Real, float>)
          if (narrow) {
            if (!weights.defined())  // the first chunk is the largest
              weights = pass.room({logits.rows, logits.stride}, at::kBFloat16);
            p = weights.data_ptr();
            pass.kernels.weigh(logits, factors, static_cast<uint16_t*>(p), logits.stride);
          }
        if (!narrow) pass.kernels.weigh(logits, factors, logits.s, logits.stride);
        if (into.anchors.defined())
          add_product(pass, p, logits.stride, logits.rows, logits.columns, /*transposed=*/false,
                      pass.problem.candidates.const_data_ptr(),
                      into.anchors.narrow(0, begin, logits.rows).data_ptr());
        if (into.candidates.defined())
          add_product(pass, p, logits.stride, logits.rows, logits.columns, /*transposed=*/true,
                      anchors.const_data_ptr(), into.candidates.data_ptr());
      });
}

}  // namespace

TwoWayLse portable_forward(const LsePass& pass, LseDirections directions) {
  return pass.element() == LseElement::kDouble ? forward<double>(pass, directions)
                                               : forward<float>(pass, directions);
}

void portable_backward(const LsePass& pass, const LseAdjoint& rows, const LseAdjoint& columns,
                       const LseGradients& into) {
  if (pass.element() == LseElement::kDouble)
    backward<double>(pass, rows, columns, into);
  else
    backward<float>(pass, rows, columns, into);
}

}  // namespace cltrain
