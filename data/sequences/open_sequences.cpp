#include "data/sequences/open_sequences.h"

#include "data/files.h"
#include "data/sequences/atomic_inter.h"
#include "data/sequences/core_filter.h"
#include "data/sequences/sequence_text.h"

#include <cstdlib>
#include <filesystem>
#include <utility>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

/// Where data/fetch_ml100k.sh puts MovieLens-100k; other sets have no default folder.
fs::path default_folder(const std::string& name) {
  const char* home = std::getenv("HOME");
  if (name != "ml-100k" || home == nullptr) return {};
  return fs::path(home) / ".cache/cltrain/ml-100k";
}

std::string advice_for(const std::string& name) {
  return name == "ml-100k" ? "run data/fetch_ml100k.sh, which fetches it, or set data.root=FOLDER"
                           : "set data.root=FOLDER to where it is";
}

Interactions read_file(const DataOptions& options) {
  const fs::path folder =
      options.root.empty() ? default_folder(options.name) : fs::path(options.root);
  if (folder.empty())
    throw DataError("data.root is empty, and data.name=" + options.name +
                    " has no default folder: set data.root=FOLDER, the folder with " +
                    options.name + ".txt or " + options.name + ".inter");
  const fs::path text = folder / (options.name + ".txt"),
                 inter = folder / (options.name + ".inter");
  std::error_code error;
  if (fs::exists(inter, error)) {
    AtomicInterOptions chosen;
    if (options.min_rating > 0) chosen.least_rating = options.min_rating;
    return read_atomic_inter(inter, chosen);
  }
  if (!fs::exists(text, error))
    throw DataError(folder.string() + ": neither " + text.filename().string() + " nor " +
                    inter.filename().string() + " is there; " + advice_for(options.name));
  if (options.min_rating > 0)
    throw DataError(text.string() + " holds no ratings, and data.min_rating=" +
                    std::to_string(options.min_rating) + "; leave it out");
  return read_sequence_text(text);
}

}  // namespace

Interactions open_interactions(const DataOptions& options) {
  Interactions all = read_file(options);
  if (options.user_core > 1 || options.item_core > 1)
    all = core_filter(all, {.user_least = options.user_core, .item_least = options.item_core});
  return all;
}

std::unique_ptr<SequenceSet> open_sequences(const DataOptions& options) {
  return std::make_unique<SequenceSet>(
      std::make_shared<const Interactions>(open_interactions(options)));
}

}  // namespace cltrain
