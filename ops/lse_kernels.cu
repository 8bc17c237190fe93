// The portable kernels of the loss engine (any GPU from sm_80) and the interface of
// ops/lse_kernels.h on CUDA: bodies are in ops/lse_kernel_rows.h, matrix products are cuBLAS's,
// with the handle and so the TF32 setting of LibTorch. The fused kernels are in files of their
// own, ops/lse_fused_*.cu.
#include "ops/lse_kernels.h"

#include <stdexcept>
#include <string>

#include <cublas_v2.h>
#include <cuda_runtime.h>

namespace cltrain {
namespace {

/// A block's threads (ops/lse_kernel_rows.h).
struct CudaBlock {
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __device__ int x() const { return static_cast<int>(blockIdx.x); }
  __device__ int y() const { return static_cast<int>(blockIdx.y); }
  __device__ void sync() const { __syncthreads(); }
  __device__ LseSum<double>* sums() const {
    __shared__ double memory[2 * kRowThreads];
    return reinterpret_cast<LseSum<double>*>(memory);
  }
};

template <class Real>
__global__ void __launch_bounds__(kRowThreads)
    sum_rows_kernel(const __grid_constant__ LogitsView<Real> logits, LseSum<double>* rows) {
  sum_row(CudaBlock{}, logits, rows);
}
template <class Real>
__global__ void __launch_bounds__(kRowThreads)
    sum_columns_kernel(const __grid_constant__ LogitsView<Real> logits, LseSum<double>* parts) {
  sum_columns(CudaBlock{}, logits, parts);
}
template <class Real>
__global__ void __launch_bounds__(kRowThreads)
    merge_kernel(const LseSum<Real>* parts, int64_t count, int64_t n, LseSum<double>* sums) {
  merge_parts(CudaBlock{}, parts, count, n, sums);
}
__global__ void __launch_bounds__(kRowThreads)
    logs_kernel(const LseSum<double>* sums, int64_t n, double* lse) {
  take_logs(CudaBlock{}, sums, n, lse);
}
template <class Real>
__global__ void __launch_bounds__(kRowThreads)
    factors_kernel(const __grid_constant__ AdjointView adjoint, int64_t padded,
                   LseFactor<Real>* factors) {
  make_factors(CudaBlock{}, adjoint, padded, factors);
}
template <class Real, class Out>
__global__ void __launch_bounds__(kRowThreads)
    weigh_kernel(const __grid_constant__ LogitsView<Real> logits, FactorsView<Real> factors,
                 Out* out, int64_t stride) {
  weigh_row(CudaBlock{}, logits, factors, out, stride);
}

[[noreturn]] void fail(const char* what, const std::string& why) {
  throw std::runtime_error(std::string("CUDA kernels of the loss: ") + what + ": " + why);
}

template <class Kernel, class... Arguments>
void launch(Kernel kernel, int64_t x, int64_t y, cudaStream_t stream,
            const Arguments&... arguments) {
  if (x == 0 || y == 0) return;
  kernel<<<dim3(static_cast<unsigned>(x), static_cast<unsigned>(y)), kRowThreads, 0, stream>>>(
      arguments...);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess)
    fail("launch", cudaGetErrorString(error));
}

#ifdef CLTRAIN_FUSED
bool is_hopper() {
  int device = 0, major = 0;
  return cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major == 9;
}
#endif

class CudaLseKernels : public LseKernels {
 public:
  CudaLseKernels(void* stream, void* blas, bool fused)
      : stream_(static_cast<cudaStream_t>(stream)),
        blas_(static_cast<cublasHandle_t>(blas)),
        fused_(fused) {}

  void multiply(const BlasProduct& p) override {
    const bool is_double = p.type == LseElement::kDouble;
    const cudaDataType_t in = is_double                         ? CUDA_R_64F
                              : p.type == LseElement::kBFloat16 ? CUDA_R_16BF
                                                                : CUDA_R_32F;
    const double one = 1;
    const float float_one = 1, float_beta = static_cast<float>(p.beta);
    const auto operation = [](bool transpose) { return transpose ? CUBLAS_OP_T : CUBLAS_OP_N; };
    const cublasStatus_t status =
        cublasGemmEx(blas_, operation(p.transpose_a), operation(p.transpose_b), p.m, p.n, p.k,
                     is_double ? static_cast<const void*>(&one) : &float_one, p.a, in,
                     static_cast<int>(p.lda), p.b, in, static_cast<int>(p.ldb),
                     is_double ? static_cast<const void*>(&p.beta) : &float_beta, p.c,
                     is_double ? CUDA_R_64F : CUDA_R_32F, static_cast<int>(p.ldc),
                     is_double ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);
    if (status != CUBLAS_STATUS_SUCCESS) fail("product", cublasGetStatusString(status));
  }

  void sum_rows(const LogitsView<float>& logits, LseSum<double>* rows) override {
    launch(sum_rows_kernel<float>, logits.rows, 1, stream_, logits, rows);
  }
  void sum_rows(const LogitsView<double>& logits, LseSum<double>* rows) override {
    launch(sum_rows_kernel<double>, logits.rows, 1, stream_, logits, rows);
  }
  void sum_columns(const LogitsView<float>& logits, LseSum<double>* parts) override {
    launch(sum_columns_kernel<float>, parts_of(logits.columns, kRowThreads),
           parts_of(logits.rows, kColumnRows), stream_, logits, parts);
  }
  void sum_columns(const LogitsView<double>& logits, LseSum<double>* parts) override {
    launch(sum_columns_kernel<double>, parts_of(logits.columns, kRowThreads),
           parts_of(logits.rows, kColumnRows), stream_, logits, parts);
  }
  void merge(const LseSum<float>* parts, int64_t count, int64_t n, LseSum<double>* sums) override {
    launch(merge_kernel<float>, parts_of(n, kRowThreads), 1, stream_, parts, count, n, sums);
  }
  void merge(const LseSum<double>* parts, int64_t count, int64_t n, LseSum<double>* sums) override {
    launch(merge_kernel<double>, parts_of(n, kRowThreads), 1, stream_, parts, count, n, sums);
  }
  void logs(const LseSum<double>* sums, int64_t n, double* lse) override {
    launch(logs_kernel, parts_of(n, kRowThreads), 1, stream_, sums, n, lse);
  }
  void make_factors(const AdjointView& adjoint, int64_t padded,
                    LseFactor<float>* factors) override {
    launch(factors_kernel<float>, parts_of(padded, kRowThreads), 1, stream_, adjoint, padded,
           factors);
  }
  void make_factors(const AdjointView& adjoint, int64_t padded,
                    LseFactor<double>* factors) override {
    launch(factors_kernel<double>, parts_of(padded, kRowThreads), 1, stream_, adjoint, padded,
           factors);
  }
  void weigh(const LogitsView<float>& logits, const FactorsView<float>& factors, float* out,
             int64_t stride) override {
    launch_weigh(logits, factors, out, stride);
  }
  void weigh(const LogitsView<float>& logits, const FactorsView<float>& factors, uint16_t* out,
             int64_t stride) override {
    launch_weigh(logits, factors, out, stride);
  }
  void weigh(const LogitsView<double>& logits, const FactorsView<double>& factors, double* out,
             int64_t stride) override {
    launch_weigh(logits, factors, out, stride);
  }

#ifdef CLTRAIN_FUSED
  bool has_fused() const override {
    return fused_ && is_hopper();
  }
  void fused_sums(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                  const LseSumParts& parts) override {
    cltrain::fused_sums(operands, problem, splits, parts, stream_);
  }
  void fused_weights(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                     const FusedFactors& factors, uint16_t* weights, int64_t stride) override {
    cltrain::fused_weights(operands, problem, splits, factors, weights, stride, stream_);
  }
  void fused_gradient(const FusedOperands& operands, const LseTileProblem& problem, int splits,
                      const FusedFactors& factors, float* gradient) override {
    cltrain::fused_gradient(operands, problem, splits, factors, gradient, stream_);
  }
#else
  bool has_fused() const override {
    return false;
  }
  void fused_sums(const FusedOperands&, const LseTileProblem&, int, const LseSumParts&) override {
    no_fused();
  }
  void fused_weights(const FusedOperands&, const LseTileProblem&, int, const FusedFactors&,
                     uint16_t*, int64_t) override {
    no_fused();
  }
  void fused_gradient(const FusedOperands&, const LseTileProblem&, int, const FusedFactors&,
                      float*) override {
    no_fused();
  }
  [[noreturn]] static void no_fused() {
    fail("fused", "this build has none; CUTLASS was not found when it was configured");
  }
#endif

 private:
  template <class Real, class Out>
  void launch_weigh(const LogitsView<Real>& logits, const FactorsView<Real>& factors, Out* out,
                    int64_t stride) {
    launch(weigh_kernel<Real, Out>, logits.rows, parts_of(logits.columns, kWeighColumns), stream_,
           logits, factors, out, stride);
  }

  cudaStream_t stream_;
  cublasHandle_t blas_;
  bool fused_;
};

}  // namespace

std::unique_ptr<LseKernels> cuda_lse_kernels(void* stream, void* blas, bool fused) {
  return std::make_unique<CudaLseKernels>(stream, blas, fused);
}

}  // namespace cltrain
