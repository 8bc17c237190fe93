// The data of a run, of whichever kind its method takes, and what the loader makes of it. Every
// rank opens it for itself.
#pragma once

#include "data/clicks/open_clicks.h"
#include "data/dataset.h"
#include "data/registry.h"
#include "data/row_maker.h"
#include "data/sequences/sequence_rows.h"
#include "launcher/options.h"
#include "models/registry.h"

#include <memory>
#include <string>

namespace cltrain {

/// What a run trains on and is measured with: one of these is there, the others are empty.
struct RunData {
  DatasetPair seen;                        ///< pictures or clips
  std::unique_ptr<SequenceSet> sequences;  ///< of a recommender
  ClickPair clicks;                        ///< of a click-through model

  /// The training set.
  const SampleSet& samples() const;
  /// For people: what to know of it beside describe(). May be empty.
  const std::string& note() const;
};

/// Throws ConfigError and DataError.
RunData open_data(const Options& options);

/// What the method's network is made for. It points into `data`.
InputShape input_of(const RunData& data, const Options& options);

/// What the loader makes of a training sample. `data` outlives it.
std::unique_ptr<const RowMaker> rows_of(const RunData& data, const Options& options);

}  // namespace cltrain
