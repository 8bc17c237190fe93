// Features of a data set: each rank embeds its share of the positions, each sample once. Samples
// that cannot be used (BadSample, data/dataset.h) are left out by the rank whose share they are in,
// and counted.
//
// A sample of several plain views (the clips of a video, data.eval_clips) has the mean of the
// features of its views, as the encoder gives them: before any normalisation, in float32.
#pragma once

#include "data/dataset.h"
#include "data/options.h"
#include "dist/communicator.h"

#include <cstdint>
#include <functional>
#include <string>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// One rank's rows: positions [floor(r*N/W), floor((r+1)*N/W)) of a data set, in order, without
/// those left out. So counts of ranks are to be gathered, not computed.
struct Features {
  at::Tensor vectors;          ///< [n, F] float32 on the CPU
  at::Tensor labels;           ///< [n] int64, -1 where there is none
  at::Tensor ids;              ///< [n] int64, Dataset::source_id
  int64_t left_out = 0;        ///< samples of this rank's share that could not be used
  std::string first_left_out;  ///< what was wrong with the first of them, for people
};

struct EmbedSettings {
  int64_t batch = 256;  ///< pictures or clips at once; all clips of a video come together
  int64_t workers = 1;  ///< threads that decode
  int rank = 0, size = 1;
};

/// images [n, 3, S, S], or clips [n, 3, T, S, S], float32 on the CPU -> [n, F], any type and
/// device. n may be 0.
using Embed = std::function<at::Tensor(const at::Tensor& images)>;

/// Not collective. Runs without autograd; the caller puts its network into evaluation mode.
Features embed_share(const Dataset& dataset, const AugmentOptions& views, const Embed& embed,
                     const EmbedSettings& settings);

/// Samples left out on all ranks. Collective, CPU tensors; `dataset` is that of embed_share. Throws
/// DataError on every rank alike when not one sample of the whole set can be used.
int64_t total_left_out(const Features& share, const SampleSet& dataset,
                       const Communicator& control);

}  // namespace cltrain
