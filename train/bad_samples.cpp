#include "train/bad_samples.h"

#include "data/dataset.h"
#include "monitoring/sink.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

namespace cltrain {
namespace {

constexpr size_t kLongestMessage = 2000;  // bytes; a message is a path and a sentence

/// The ids of a file that JsonlFile has opened: whole lines, each an object with a "step".
std::vector<int64_t> listed_ids(const std::filesystem::path& path) {
  std::vector<int64_t> ids;
  std::ifstream file(path, std::ios::binary);
  std::string line;
  while (std::getline(file, line)) {
    const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object() || !object.contains("id") || !object["id"].is_number_integer())
      throw RecordError(path.string() + ":" + std::to_string(ids.size() + 1) + ": damaged: '" +
                        line.substr(0, 60) +
                        "' has no whole \"id\"; remove the line, or the file to start a new list");
    ids.push_back(object["id"].get<int64_t>());
  }
  if (file.bad() || !file.eof())
    throw RecordError("cannot read " + path.string() + ": check the run directory (run.dir)");
  return ids;
}

std::string percent(double ratio) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g %%", 100 * ratio);
  return text;
}

/// What a row is on its way between ranks; the texts follow one after the other.
enum Column { kBadId, kReplacementId, kKindBytes, kMessageBytes, kColumns };

}  // namespace

BadSamples::BadSamples(std::filesystem::path run_dir, const Communicator& control,
                       int64_t training_size, double max_bad_ratio)
    : path_(std::move(run_dir) / "bad_samples.jsonl"),
      control_(control),
      training_size_(training_size),
      max_bad_ratio_(max_bad_ratio) {
  std::vector<int64_t> ids;
  if (control_.rank() == 0 && std::filesystem::exists(path_)) {
    file_ = std::make_unique<JsonlFile>(path_, std::numeric_limits<int64_t>::max());
    ids = listed_ids(path_);
  }
  at::Tensor count = at::full({1}, static_cast<int64_t>(ids.size()), at::kLong);
  control_.broadcast(count);
  ids.resize(static_cast<size_t>(*count.const_data_ptr<int64_t>()));
  at::Tensor shared = at::empty({static_cast<int64_t>(ids.size())}, at::kLong);
  std::copy(ids.begin(), ids.end(), shared.mutable_data_ptr<int64_t>());
  if (!ids.empty()) control_.broadcast(shared);
  const auto* first = shared.const_data_ptr<int64_t>();
  known_.insert(first, first + shared.numel());
}

std::vector<ReplacedRow> BadSamples::gather(const std::vector<ReplacedRow>& of_this_rank) const {
  const auto rows = static_cast<int64_t>(of_this_rank.size());
  at::Tensor table = at::empty({rows, kColumns}, at::kLong);
  auto* cell = table.mutable_data_ptr<int64_t>();
  std::string texts;
  for (const ReplacedRow& row : of_this_rank) {
    const std::string message = row.message.substr(0, kLongestMessage);
    texts += row.kind + message;
    *cell++ = row.bad_id;
    *cell++ = row.replacement_id;
    *cell++ = static_cast<int64_t>(row.kind.size());
    *cell++ = static_cast<int64_t>(message.size());
  }
  const std::vector<int64_t> counts = control_.all_gather_count(rows);
  const at::Tensor all = control_.all_gather(table, counts);
  // Every rank can read from the table how many bytes each rank sends.
  std::vector<int64_t> bytes;
  const auto* row = all.const_data_ptr<int64_t>();
  for (const int64_t count : counts) {
    bytes.push_back(0);
    for (int64_t at = 0; at < count; ++at, row += kColumns)
      bytes.back() += row[kKindBytes] + row[kMessageBytes];
  }
  at::Tensor mine = at::empty({static_cast<int64_t>(texts.size())}, at::kByte);
  std::copy(texts.begin(), texts.end(), mine.mutable_data_ptr<uint8_t>());
  const at::Tensor all_texts = control_.all_gather(mine, bytes);
  std::vector<ReplacedRow> gathered;
  const auto* letter = reinterpret_cast<const char*>(all_texts.const_data_ptr<uint8_t>());
  const auto take = [&](int64_t size) {
    letter += size;
    return std::string(letter - size, letter);
  };
  row = all.const_data_ptr<int64_t>();
  for (int64_t at = 0; at < all.size(0); ++at, row += kColumns) {
    std::string kind = take(row[kKindBytes]);
    gathered.push_back(
        {row[kBadId], row[kReplacementId], std::move(kind), take(row[kMessageBytes])});
  }
  return gathered;
}

void BadSamples::append(const ReplacedRow& row, int64_t step) {
  if (!file_) file_ = std::make_unique<JsonlFile>(path_, std::numeric_limits<int64_t>::max());
  nlohmann::ordered_json line;
  line["id"] = row.bad_id;
  line["kind"] = row.kind;
  line["replacement"] = row.replacement_id;
  line["step"] = step;
  line["message"] = row.message;
  // Names of files may be any bytes; JSON is UTF-8.
  file_->append(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void BadSamples::flush() const {
  if (file_) file_->flush();
}

std::map<std::string, int64_t> BadSamples::note(const std::vector<ReplacedRow>& of_this_rank,
                                                int64_t step) {
  std::map<std::string, int64_t> rows_by_kind;
  std::vector<ReplacedRow> rows = gather(of_this_rank);
  // By rank they come in another order with other ranks or chunks; the list shall be the same.
  std::sort(rows.begin(), rows.end(), [](const ReplacedRow& left, const ReplacedRow& right) {
    return left.bad_id < right.bad_id;
  });
  for (const ReplacedRow& row : rows) {
    ++rows_by_kind[row.kind];
    if (known_.insert(row.bad_id).second && control_.rank() == 0) append(row, step);
  }
  const double ratio = static_cast<double>(distinct()) / static_cast<double>(training_size_);
  if (ratio > max_bad_ratio_)
    throw DataError(std::to_string(distinct()) + " of the " + std::to_string(training_size_) +
                    " training samples cannot be used (" + percent(ratio) +
                    "), data.max_bad_ratio=" + nlohmann::json(max_bad_ratio_).dump() + " allows " +
                    percent(max_bad_ratio_) + ". They are listed in " + path_.string() +
                    ": repair or remove them and that list, or raise data.max_bad_ratio (it may "
                    "change when a run continues)");
  return rows_by_kind;
}

}  // namespace cltrain
