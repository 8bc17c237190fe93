// Measures of a training step's health: how the embeddings lie on the sphere, what each rank waited
// for, what the collectives moved. They change nothing of the training; what they cost is measured
// by bench/health_overhead.py.
//
// Called by the trainer, on every rank unless a comment says otherwise; one thread.
#pragma once

#include "data/sampler.h"
#include "dist/communicator.h"
#include "monitoring/sink.h"

#include <chrono>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace cltrain {

/// Rows of the global batch that the measures of similarity look at: the first ones.
constexpr int64_t kHealthRows = 256;

/// Collective. `views` holds this rank's embeddings by view, [b, D], of unit length, of a batch
/// that is cut as `cut` says. Gathers the first kHealthRows global rows and returns, from them
/// alone:
///   embedding_std                 standard deviation of each coordinate over all rows of all
///   views,
///                                 mean over coordinates: 1/sqrt(D) when spread evenly, 0 when
///                                 collapsed (Chen and He 2020, arXiv 2011.10566, section 4.1)
///   alignment                     mean squared distance of the first two views of a row
///   uniformity                    log of the mean of exp(-2 * squared distance) over pairs of rows
///                                 of one view, mean over views (both: Wang and Isola 2020, arXiv
///                                 2005.10242, section 4.1)
///   positive_similarity           mean cosine of the first two views of a row
///   hardest_negative_similarity   mean over rows of the largest cosine with another row, any view
/// The same values on every rank. Empty with fewer than two views or two rows.
NamedValues similarity_measures(const std::vector<at::Tensor>& views, const BatchCut& cut,
                                const Communicator& control);

/// Seconds that this rank worked, without those it was blocked in a collective, and bytes moved,
/// each since the last call.
class WorkMeter {
 public:
  explicit WorkMeter(const Communicators& communicators);

  double take_busy_seconds();
  NamedValues take_bytes();  ///< by collective (kCollectives), all communicators together

 private:
  const Communicators& communicators_;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  double blocked_ = 0;
  std::array<int64_t, kCollectives.size()> bytes_{};
};

/// Resident memory of this process now.
int64_t resident_bytes();

/// L2 norm over all of the tensors; 0 for none.
double norm_of(const std::vector<at::Tensor>& tensors);

}  // namespace cltrain
