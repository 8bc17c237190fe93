// Arithmetic on vectors of 64 bytes for kernels marked CLTRAIN_SIMD (ops/simd.h): loads, stores,
// exponentials and sums across lanes, for float32 and float64. Functions are inlined into their
// caller and so compiled for its instruction set; vectors go by reference, as an ABI for them would
// depend on it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <type_traits>
#include <utility>

namespace cltrain {

// Vectors of 64 bytes, which the compiler splits where registers are narrower.
template <class Real>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float Vector __attribute__((vector_size(64)));
  typedef int32_t Bits __attribute__((vector_size(64)));
  typedef float Memory __attribute__((vector_size(64), aligned(4), may_alias));
  typedef uint16_t Half __attribute__((vector_size(32)));
  typedef uint16_t HalfMemory __attribute__((vector_size(32), aligned(2), may_alias));
  static constexpr int kCount = 16;
  static constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr int32_t kBias = 127, kShift = 23;
  // 2^f, |f| <= 1/2, relative error 2e-9 (least squares with Lawson's weights).
  static constexpr float kPolynomial[] = {1.0F,           0.693147206F,   0.240226469F,
                                          0.0555032877F,  0.00961848896F, 0.00133999312F,
                                          0.000153458118F};
};
template <>
struct Lanes<double> {
  typedef double Vector __attribute__((vector_size(64)));
  typedef int64_t Bits __attribute__((vector_size(64)));
  typedef double Memory __attribute__((vector_size(64), aligned(8), may_alias));
  static constexpr int kCount = 8;
  static constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int64_t kBias = 1023, kShift = 52;
  // ln(2)^n / n!
  static constexpr double kPolynomial[] = {1.0,
                                           0.6931471805599453,
                                           0.24022650695910072,
                                           0.05550410866482158,
                                           0.009618129107628477,
                                           0.0013333558146428443,
                                           0.0001540353039338161,
                                           1.525273380405984e-05,
                                           1.3215486790144307e-06,
                                           1.0178086009239699e-07,
                                           7.054911620801121e-09,
                                           4.4455382718708116e-10,
                                           2.5678435993488206e-11,
                                           1.3691488853904128e-12};
};

template <class Real>
[[gnu::always_inline]] inline void load(const Real* from, typename Lanes<Real>::Vector& to) {
  to = *reinterpret_cast<const typename Lanes<Real>::Memory*>(from);
}
template <class Real>
[[gnu::always_inline]] inline void store(const typename Lanes<Real>::Vector& from, Real* to) {
  *reinterpret_cast<typename Lanes<Real>::Memory*>(to) = from;
}

// x <- 2^x for x up to about 126 (1022); below -126 it becomes 0, and so does NaN.
template <class Real>
[[gnu::always_inline]] inline void exp2_in_place(typename Lanes<Real>::Vector& x) {
  using L = Lanes<Real>;
  using Vector = typename L::Vector;
  using Bits = typename L::Bits;
  const Vector lowest = Vector{} - static_cast<Real>(L::kBias);
  x = x > lowest ? x : lowest;
  const Vector shifted = x + L::kMagic;
  const Vector f = x - (shifted - L::kMagic);
  // The integer sits in the low bits of `shifted`; -bias gives the bits of 0.
  const Bits power =
      ((Bits)shifted -
       std::bit_cast<std::conditional_t<L::kCount == 16, int32_t, int64_t>>(L::kMagic) + L::kBias)
      << L::kShift;
  constexpr int kTerms = std::size(L::kPolynomial);
  Vector p = Vector{} + L::kPolynomial[kTerms - 1];
#pragma GCC unroll 16
  for (int n = kTerms - 2; n >= 0; --n) p = p * f + L::kPolynomial[n];
  x = p * (Vector)power;
}

template <class Real, int kStep, size_t... lane>
[[gnu::always_inline]] inline void add_across(typename Lanes<Real>::Vector& lanes,
                                              std::index_sequence<lane...>) {
  using Bits = typename Lanes<Real>::Bits;
  const Bits partner = {(static_cast<int>(lane) ^ kStep)...};
  lanes += __builtin_shuffle(lanes, partner);
  if constexpr (kStep > 1)
    add_across<Real, kStep / 2>(lanes, std::make_index_sequence<Lanes<Real>::kCount>());
}

template <class Real>
[[gnu::always_inline]] inline double total(typename Lanes<Real>::Vector& lanes) {
  constexpr int kCount = Lanes<Real>::kCount;
  add_across<Real, kCount / 2>(lanes, std::make_index_sequence<kCount>());
  return lanes[0];
}

/// The largest lane.
template <class Real, int kStep, size_t... lane>
[[gnu::always_inline]] inline void highest_across(typename Lanes<Real>::Vector& lanes,
                                                  std::index_sequence<lane...>) {
  using Bits = typename Lanes<Real>::Bits;
  const Bits partner = {(static_cast<int>(lane) ^ kStep)...};
  const typename Lanes<Real>::Vector other = __builtin_shuffle(lanes, partner);
  lanes = lanes > other ? lanes : other;
  if constexpr (kStep > 1)
    highest_across<Real, kStep / 2>(lanes, std::make_index_sequence<Lanes<Real>::kCount>());
}
template <class Real>
[[gnu::always_inline]] inline Real highest(typename Lanes<Real>::Vector& lanes) {
  constexpr int kCount = Lanes<Real>::kCount;
  highest_across<Real, kCount / 2>(lanes, std::make_index_sequence<kCount>());
  return lanes[0];
}

/// value where keep is 1, +0 where it is 0: a bit mask, as g++ makes a branch of a choice in longer
/// loops and then does not vectorise them.
template <class Real>
[[gnu::always_inline]] inline Real kept_value(Real value, uint8_t keep) {
  using Bits = std::conditional_t<sizeof(Real) == 4, uint32_t, uint64_t>;
  return std::bit_cast<Real>(std::bit_cast<Bits>(value) & -static_cast<Bits>(keep));
}

}  // namespace cltrain
