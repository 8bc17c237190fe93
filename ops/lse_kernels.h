// Everything that the CUDA path of the loss engine (ops/lse_cuda.cpp) asks of a GPU, as one
// interface on plain pointers: the driver's loops and arithmetic of indices are then the same with
// the kernels (ops/lse_kernels.cu, ops/lse_fused_*.cu) and with
// tests/ops/emulated_kernels.h, which runs their per-thread code on the CPU.
// Calls return at once and follow each other on one stream. Free of torch and of CUDA.
#pragma once

#include "ops/lse_fused.h"
#include "ops/lse_kernel_rows.h"

#include <memory>

namespace cltrain {

enum class LseElement { kFloat, kDouble, kBFloat16 };

/// As BLAS has it, with column-major matrices: C [m, n] = op(A) op(B) + beta C. A and B hold
/// `type`; C holds doubles for doubles, else floats, in which sums are taken.
struct BlasProduct {
  LseElement type;
  bool transpose_a, transpose_b;
  int m, n, k;
  const void* a;
  int64_t lda;
  const void* b;
  int64_t ldb;
  void* c;
  int64_t ldc;
  double beta;
};

class LseKernels {
 public:
  virtual ~LseKernels() = default;

  virtual void multiply(const BlasProduct& product) = 0;

  // ops/lse_kernel_rows.h says what each does.
  virtual void sum_rows(const LogitsView<float>& logits, LseSum<double>* rows) = 0;
  virtual void sum_rows(const LogitsView<double>& logits, LseSum<double>* rows) = 0;
  virtual void sum_columns(const LogitsView<float>& logits, LseSum<double>* parts) = 0;
  virtual void sum_columns(const LogitsView<double>& logits, LseSum<double>* parts) = 0;
  virtual void merge(const LseSum<float>* parts, int64_t count, int64_t n,
                     LseSum<double>* sums) = 0;
  virtual void merge(const LseSum<double>* parts, int64_t count, int64_t n,
                     LseSum<double>* sums) = 0;
  virtual void logs(const LseSum<double>* sums, int64_t n, double* lse) = 0;
  virtual void make_factors(const AdjointView& adjoint, int64_t padded,
                            LseFactor<float>* factors) = 0;
  virtual void make_factors(const AdjointView& adjoint, int64_t padded,
                            LseFactor<double>* factors) = 0;
  virtual void weigh(const LogitsView<float>& logits, const FactorsView<float>& factors, float* out,
                     int64_t stride) = 0;
  virtual void weigh(const LogitsView<float>& logits, const FactorsView<float>& factors,
                     uint16_t* out, int64_t stride) = 0;
  virtual void weigh(const LogitsView<double>& logits, const FactorsView<double>& factors,
                     double* out, int64_t stride) = 0;

  /// Whether the fused kernels can run here. They throw where they cannot.
  virtual bool has_fused() const = 0;
  virtual void fused_sums(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                          const LseSumParts& parts) = 0;
  virtual void fused_weights(const FusedOperands& operands, const LseTileProblem& problem,
                             int splits, const FusedFactors& factors, uint16_t* weights,
                             int64_t stride) = 0;
  virtual void fused_gradient(const FusedOperands& operands, const LseTileProblem& problem,
                              int splits, const FusedFactors& factors, float* gradient) = 0;
};

/// The kernels on the current device: `stream` is a cudaStream_t, `blas` a cublasHandle_t of that
/// stream; `fused`: the fused ones too where they can run. Defined where CUDA is built in.
std::unique_ptr<LseKernels> cuda_lse_kernels(void* stream, void* blas, bool fused);

}  // namespace cltrain
