#include "launcher/run_data.h"

#include "data/sequences/open_sequences.h"

namespace cltrain {

const SampleSet& RunData::samples() const {
  if (sequences) return *sequences;
  if (clicks.train) return *clicks.train;
  return *seen.train;
}

const std::string& RunData::note() const {
  return clicks.train ? clicks.note : seen.note;
}

RunData open_data(const Options& options) {
  RunData data;
  switch (data_kind(options)) {
    case DataKind::kSequences:
      data.sequences = open_sequences(options.data);
      break;
    case DataKind::kClicks:
      data.clicks = open_clicks(options.data);
      break;
    default:
      data.seen = open_datasets(options.data);
  }
  return data;
}

InputShape input_of(const RunData& data, const Options& options) {
  InputShape input = input_shape(options);
  input.classes = data.samples().classes();
  input.sequences = data.sequences.get();
  if (data.clicks.train) input.clicks = &data.clicks.train->columns();
  return input;
}

std::unique_ptr<const RowMaker> rows_of(const RunData& data, const Options& options) {
  if (data.sequences)
    return std::make_unique<SequenceRows>(*data.sequences, options.data.max_length);
  if (data.clicks.train) return std::make_unique<ClickRows>(*data.clicks.train);
  return std::make_unique<ViewRows>(*data.seen.train, options.augment,
                                    method_line(options.method.name).views);
}

}  // namespace cltrain
