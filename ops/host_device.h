// Marks of functions that CPU code and CUDA kernels share. Free of torch.
#pragma once

#if defined(__CUDACC__)
#define CLTRAIN_HOST_DEVICE __host__ __device__
/// Small functions whose arrays must stay in registers: inlined, their loops unrolled.
#define CLTRAIN_KERNEL_INLINE __host__ __device__ __forceinline__
#else
#define CLTRAIN_HOST_DEVICE
#define CLTRAIN_KERNEL_INLINE inline
#endif

#if defined(__CUDA_ARCH__)
#define CLTRAIN_UNROLL _Pragma("unroll")
#else
#define CLTRAIN_UNROLL
#endif
