// The linear probe: softmax regression on features of the frozen encoder, trained on the training
// set and measured on the test set. The objective is the mean cross entropy over all training rows
// plus weight_decay / 2 times the squared weights (biases are free); with weight decay its optimum
// is unique.
//
// Collective over all ranks. Each rank holds its share of the rows. An epoch's order is a keyed
// shuffle of the rows of all ranks (Purpose::kProbe), cut into batches of probe.batch; a rank works
// on the rows of a batch that it holds, and the gradients are summed. So the mathematics is the
// same at any number of ranks; the bits are at any number of threads.
//
// Normalisation with the training rows' moments, also of the test rows. `standardize` divides by
// the root of the number of features besides, so that rows are of about unit length and a learning
// rate means the same for every width.
//
// Sources: Chen et al., arXiv 2002.05709, appendix B.6 (l2-regularised logistic regression);
// He et al., arXiv 2111.06377, appendix A.1 (features standardised by the training set's moments).
#pragma once

#include "dist/communicator.h"
#include "eval/accuracy.h"
#include "eval/features.h"
#include "eval/options.h"

#include <string>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct ProbeResult : Accuracy {
  double loss = 0;         ///< mean cross entropy of the training rows at the end
  double objective = 0;    ///< the same with the weight decay's term
  int64_t iterations = 0;  ///< steps of sgd, iterations of lbfgs
  std::string protocol;    ///< one line that says how the figures came about
  at::Tensor weight;       ///< [classes, F] float32, for normalised features
  at::Tensor bias;         ///< [classes] float32
};

/// train and test: this rank's shares. The same result on every rank. `communicator` carries CPU
/// tensors. Throws c10::Error if a label is outside 0 .. classes - 1, there is no training row, a
/// feature is not finite, or the training diverges (a smaller probe.lr helps).
ProbeResult linear_probe(const Features& train, const Features& test, int64_t classes,
                         const ProbeOptions& options, uint64_t seed,
                         const Communicator& communicator);

/// Moments of the training rows over all ranks, and their use. Collective.
class FeatureScaler {
 public:
  FeatureScaler(const at::Tensor& train, const std::string& normalize,
                const Communicator& communicator);
  at::Tensor operator()(const at::Tensor& vectors) const;  ///< [n, F] -> [n, F] float32

 private:
  std::string normalize_;
  at::Tensor mean_, scale_;  // [F] double, of standardize
};

}  // namespace cltrain
