// The data sets that exist, and the one function that opens them.
//
// Called once at start-up, on every rank, from the main thread. Throws DataError.
#pragma once

#include "data/dataset.h"
#include "data/options.h"
#include "data/view_maker.h"

#include <memory>
#include <string>
#include <vector>

namespace cltrain {

struct DataSetRow {
  std::string name;      ///< the value of data.name
  std::string what;      ///< one line for people
  bool folders = false;  ///< takes data.train and data.val
  bool videos = false;   ///< its views are clips
  bool clicks = false;   ///< its samples are rows of a click-through model
};

const std::vector<DataSetRow>& data_set_table();

/// What the samples of a set are. A name that is not in the table is the stem of a file of
/// sequences (data/sequences/open_sequences.h), which a click-through model takes for rows of
/// clicks (data/clicks/open_clicks.h).
enum class DataKind { kImages, kClips, kSequences, kClicks };
DataKind data_kind(const DataOptions& options);

struct DatasetPair {
  std::unique_ptr<Dataset> train;
  std::unique_ptr<Dataset> test;  ///< null: evaluation by labels is off, and `note` says why
  std::string note;               ///< for the start-up print; empty when there is nothing to say
};

/// Throws DataError for sequences and clicks, which show no pictures.
DatasetPair open_datasets(const DataOptions& options);

/// The extents of one view of the set, without opening it; empty of sequences and clicks.
ViewShape view_shape(const DataOptions& data, const AugmentOptions& augment);

}  // namespace cltrain
