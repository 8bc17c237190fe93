// The measuring half of bench/ntxent: one method and one case in this process, or in these ranks
// under mpirun. Rank 0 prints one JSON line:
//   milliseconds          median of the timed runs, from barrier to barrier
//   runs                  how many they were
//   extra_bytes           the largest of the ranks; null where the kernel cannot tell
//   loss, temperature_gradient, gradient_norm   of all rows, to compare; the norm is of the part
//                         along the sphere, because lightly normalises what it is given
// The method "floor" prints products_per_second (operations of the micro-kernel) and
// exponentials_per_second.
#pragma once

#include "bench/ntxent_options.h"

namespace cltrain::ntxent {

int run_worker(const Options& options);

}  // namespace cltrain::ntxent
