// CLTRAIN_SIMD compiles a function for AVX-512, AVX2 and the x86-64 baseline; the loader picks the
// widest the machine has, by feature level: clones for a processor's name ("arch=haswell") would be
// taken on that maker's processors only. The project is built for the baseline, so hot loops carry
// this mark. simd_path() names the choice for the start-up print and the checkpoint (restarts are
// bit-identical on equal instruction sets only).
#pragma once

#include <string>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__CUDACC__)
#define CLTRAIN_SIMD __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLTRAIN_SIMD
#endif

namespace cltrain {

/// "avx512", "avx2" or "baseline".
std::string simd_path();

}  // namespace cltrain
