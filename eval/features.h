// Features of a data set: each rank embeds its share of the positions, each sample once.
#pragma once

#include "data/dataset.h"
#include "data/options.h"

#include <functional>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// One rank's rows: positions [floor(r*N/W), floor((r+1)*N/W)) of a data set.
struct Features {
  at::Tensor vectors;  ///< [n, F] float32 on the CPU
  at::Tensor labels;   ///< [n] int64, -1 where there is none
};

struct EmbedSettings {
  int64_t batch = 256;  ///< images at once
  int64_t workers = 1;  ///< threads that decode
  int rank = 0, size = 1;
};

/// images [n, 3, S, S] float32 on the CPU -> [n, F], any type and device.
using Embed = std::function<at::Tensor(const at::Tensor& images)>;

/// Not collective. Runs without autograd; the caller puts its network into evaluation mode.
Features embed_share(const Dataset& dataset, const AugmentOptions& views, const Embed& embed,
                     const EmbedSettings& settings);

}  // namespace cltrain
