#include "dist/options.h"

namespace cltrain {

void describe(OptionTable& table, DistOptions& options) {
  table.add("device", options.device,
            {.doc = "where tensors live; auto takes the CPU as long as the CUDA path is unverified",
             .choices = {"auto", "cpu", "cuda"}});
  table.add("dist.timeout", options.timeout,
            {.doc = "longest wait of a rank in one collective before it declares its peers lost",
             .unit = "seconds",
             .min = 0,
             .above_min = true,
             .safe_to_change = true});
}

}  // namespace cltrain
