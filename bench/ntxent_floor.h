// The two speeds that no exact NT-Xent on this machine exceeds: products and exponentials with all
// data in cache, on all threads of at::parallel_for. The best of several tries.
#pragma once

namespace cltrain::ntxent {

/// Operations a second of the micro-kernel on blocks of 256 x 256 x 128, of bfloat16 where wanted
/// and the machine has such products, else of float32.
double products_per_second(bool bfloat16);

/// at::exp of 65,536 float32 a thread.
double exponentials_per_second();

}  // namespace cltrain::ntxent
