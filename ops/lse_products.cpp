#include "ops/lse_products.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/Allocator.h>
#include <sys/mman.h>

// LibTorch exports its BLAS; of at::native::cpublas it exports the micro-kernels only.
extern "C" void dgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n,
                       const int* k, const double* alpha, const double* a, const int* lda,
                       const double* b, const int* ldb, const double* beta, double* c,
                       const int* ldc);

namespace cltrain {
namespace {

namespace blas = at::native::cpublas;

/// Column-major c [m][n] (+)= op(a) b, as the BLAS has it; `add` keeps c.
void multiply(char transpose_a, int64_t m, int64_t n, int64_t k, const double* a, int64_t lda,
              const double* b, int64_t ldb, bool add, double* c, int64_t ldc) {
  const auto narrow = [](int64_t value) { return static_cast<int>(value); };
  const int sizes[] = {narrow(m), narrow(n), narrow(k), narrow(lda), narrow(ldb), narrow(ldc)};
  const double one = 1, beta = add ? 1 : 0;
  dgemm_(&transpose_a, "N", &sizes[0], &sizes[1], &sizes[2], &one, a, &sizes[3], b, &sizes[4],
         &beta, c, &sizes[5]);
}

int64_t even(int64_t count) {
  return (count + 1) / 2 * 2;
}

template <class Visit>
void for_each_block(const Blocks& blocks, Visit&& visit) {
  at::parallel_for(0, blocks.blocks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) visit(block);
  });
}

// Packed operands come and go within a call. From the heap of a process that keeps what it frees
// (dist/ world.cpp) they would leave holes that other sizes do not fit; so large ones are the
// kernel's, and go back to it.
constexpr int64_t kOwnPages = int64_t{1} << 20;

at::Tensor zeroed_pages(at::IntArrayRef sizes, const at::TensorOptions& options) {
  const int64_t bytes = c10::multiply_integers(sizes) *
                        static_cast<int64_t>(c10::elementSize(options.dtype().toScalarType()));
  if (bytes < kOwnPages) return at::zeros(sizes, options);
  void* pages =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, /*offset=*/0);
  if (pages == MAP_FAILED) return at::zeros(sizes, options);
  const auto report = [](void* at, int64_t change) {
    if (c10::memoryProfilingEnabled())
      c10::reportMemoryUsageToProfiler(at, change, 0, 0, c10::kCPU);
  };
  report(pages, bytes);
  const auto give_back = [bytes, report](void* at) {
    report(at, -bytes);
    munmap(at, bytes);
  };
  return at::from_blob(pages, sizes, give_back, options);
}

// [D][block], or [D/2][block][2] with `pairs`.
template <class In>
at::Tensor transposed_blocks(const at::Tensor& rows, const Blocks& blocks, bool pairs) {
  const int64_t depth = rows.size(1), height = pairs ? even(depth) : depth;
  at::Tensor packed = zeroed_pages({blocks.blocks(), height, blocks.size}, rows.options());
  const In* in = rows.const_data_ptr<In>();
  In* out = packed.mutable_data_ptr<In>();
  const int64_t step = pairs ? 2 : 1;
  for_each_block(blocks, [&](int64_t block) {
    const In* from = in + blocks.begin(block) * depth;
    In* to = out + block * height * blocks.size;
    for (int64_t d = 0; d < depth; ++d)
      for (int64_t row = 0; row < blocks.rows(block); ++row)
        to[d / step * step * blocks.size + row * step + d % step] = from[row * depth + d];
  });
  return packed;
}

// [n/2][D][2]
at::Tensor paired_rows(const at::Tensor& rows, const Blocks& blocks) {
  const int64_t count = rows.size(0), depth = rows.size(1);
  at::Tensor packed = zeroed_pages({even(count), depth}, rows.options());
  const auto* in = rows.const_data_ptr<at::BFloat16>();
  auto* out = packed.mutable_data_ptr<at::BFloat16>();
  for_each_block(blocks, [&](int64_t block) {
    const int64_t begin = blocks.begin(block), end = begin + blocks.rows(block);
    for (int64_t row = begin; row < end; ++row)
      for (int64_t d = 0; d < depth; ++d)
        out[row / 2 * 2 * depth + d * 2 + row % 2] = in[row * depth + d];
  });
  return packed;
}

}  // namespace

bool has_bfloat16_products() {
  // The micro-kernel refuses paired operands where the processor lacks the instructions; there is
  // no question to ask it beforehand.
  static const bool found = [] {
    const at::BFloat16 a[] = {1, 2}, b[] = {3, 4};
    float c = 0;
    try {
      blas::brgemm(1, 1, 2, 2, 1, 1, /*add_C=*/false, a, b, &c, /*is_vnni=*/true);
      blas::brgemm_release();
    } catch (const c10::Error&) {
      return false;
    }
    return c == 11;
  }();
  return found;
}

template <class In>
Packed<In>::Packed(const at::Tensor& rows, Blocks blocks, bool as_columns, bool as_terms)
    : blocks_(blocks), depth_(rows.size(1)), even_depth_(depth_), rows_(rows.contiguous()) {
  constexpr bool kPairs = std::is_same_v<In, at::BFloat16>;
  if constexpr (!std::is_same_v<In, double>)
    if (as_columns) transposed_ = transposed_blocks<In>(rows_, blocks_, kPairs);
  if constexpr (kPairs) {
    if (as_terms) terms_ = paired_rows(rows_, blocks_);
    even_depth_ = even(depth_);
    if (even_depth_ != depth_) {
      at::Tensor wider = at::zeros({rows_.size(0), even_depth_}, rows_.options());
      wider.narrow(1, 0, depth_).copy_(rows_);
      rows_ = wider;
    }
  }
  row_data_ = rows_.const_data_ptr<In>();
}

template <>
void Packed<float>::similarities(int64_t first, int64_t count, const Packed& columns, int64_t block,
                                 float* s, int64_t stride) const {
  const int64_t size = columns.blocks_.size;
  blas::brgemm(count, columns.blocks_.rows(block), depth_, depth_, size, stride, false,
               row_data_ + first * depth_,
               columns.transposed_.const_data_ptr<float>() + block * depth_ * size, s);
}
template <>
void Packed<at::BFloat16>::similarities(int64_t first, int64_t count, const Packed& columns,
                                        int64_t block, float* s, int64_t stride) const {
  const int64_t size = columns.blocks_.size;
  blas::brgemm(count, columns.blocks_.rows(block), even_depth_, even_depth_, size, stride, false,
               row_data_ + first * even_depth_,
               columns.transposed_.const_data_ptr<at::BFloat16>() + block * even_depth_ * size, s);
}
template <>
void Packed<double>::similarities(int64_t first, int64_t count, const Packed& columns,
                                  int64_t block, double* s, int64_t stride) const {
  const double* other = columns.row_data_ + columns.blocks_.begin(block) * depth_;
  multiply('T', columns.blocks_.rows(block), count, depth_, other, depth_,
           row_data_ + first * depth_, depth_, /*add=*/false, s, stride);
}

template <>
void Packed<float>::accumulate(const float* p, int64_t count, int64_t terms, int64_t stride,
                               int64_t first, float* out) const {
  blas::brgemm(count, depth_, terms, stride, depth_, depth_, true, p, row_data_ + first * depth_,
               out);
}
template <>
void Packed<at::BFloat16>::accumulate(const at::BFloat16* p, int64_t count, int64_t terms,
                                      int64_t stride, int64_t first, float* out) const {
  blas::brgemm(count, depth_, even(terms), stride, depth_, depth_, true, p,
               terms_.const_data_ptr<at::BFloat16>() + first * depth_, out);
}
template <>
void Packed<double>::accumulate(const double* p, int64_t count, int64_t terms, int64_t stride,
                                int64_t first, double* out) const {
  multiply('N', depth_, count, terms, row_data_ + first * depth_, depth_, p, stride, /*add=*/true,
           out, depth_);
}

template <>
void release_products<float>() {
  blas::brgemm_release(/*is_vnni=*/false);
}
template <>
void release_products<at::BFloat16>() {
  blas::brgemm_release();
}
template <>
void release_products<double>() {}

template class Packed<float>;
template class Packed<double>;
template class Packed<at::BFloat16>;

}  // namespace cltrain
