// The area under the ROC curve: the chance that a clicked row has a higher score than one that is
// not, ties counting half (Hanley and McNeil, Radiology 143, 1982). Exact, from ranks: no bins.
//
// Collective: every rank brings its rows, none included; each row is to be on one rank. Scores and
// labels of all rows, 9 bytes each, are gathered on every rank. The order of rows does not matter,
// so the result has the same bits at any number of ranks, given equal scores.
#pragma once

#include "dist/communicator.h"

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace cltrain {

struct AucResult {
  double auc = 0;  ///< NaN where one kind of rows is missing
  int64_t positives = 0, negatives = 0;
};

/// scores [n], any floating-point type and device; labels [n], above 0.5 is positive. Scores that
/// are not finite throw c10::Error.
AucResult area_under_curve(const at::Tensor& scores, const at::Tensor& labels,
                           const Communicator& control);

}  // namespace cltrain
