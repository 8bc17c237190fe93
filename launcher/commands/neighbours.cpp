// cltrain neighbours: the samples nearest to one sample in an index of `cltrain embed`, listed and,
// where asked for, drawn on a contact sheet.
#include "configs/mistakes.h"
#include "data/write_png.h"
#include "dist/exit_codes.h"
#include "eval/contact_sheet.h"
#include "eval/similarity_index.h"
#include "launcher/commands/commands.h"
#include "launcher/opened_run.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <limits>

namespace cltrain {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kNoQuery = std::numeric_limits<int64_t>::min();

/// "emb" of "emb.flat.faiss".
fs::path stem_of(const std::string& index) {
  for (const std::string kind : {"flat", "hnsw"}) {
    const std::string ending = "." + kind + ".faiss";
    if (index.size() > ending.size() && index.ends_with(ending))
      return index.substr(0, index.size() - ending.size());
  }
  throw ConfigError("--index " + index +
                    ": an index of cltrain embed is named ....flat.faiss or ....hnsw.faiss, beside "
                    "its embeddings; write one with cltrain embed --index flat");
}

std::string caption(const SimilarSample& sample) {
  char text[64];
  std::snprintf(text, sizeof(text), "%lld %.3f", static_cast<long long>(sample.id),
                static_cast<double>(sample.similarity));
  return text;
}

class NeighboursCommand : public Command {
 public:
  void describe(OptionTable& flags) override {
    flags.add("--index", index_, {.doc = "the index, as cltrain embed --index wrote it"});
    flags.add("--query", query_, {.doc = "id of the sample whose neighbours are wanted"});
    flags.add("--k", k_, {.doc = "how many neighbours", .min = 1, .max = 1000});
    flags.add("--sheet", sheet_,
              {.doc = "draw the sample and its neighbours here too, a .png file"});
    flags.add("--run", choice_.run,
              {.doc = "with --sheet: the run whose data holds the images; empty: the one that the "
                      "index was made by"});
  }

  int run(const Invocation& invocation) override {
    if (index_.empty() || query_ == kNoQuery)
      throw ConfigError("cltrain neighbours needs --index FILE.faiss and --query ID");
    if (!fs::exists(index_))
      throw ConfigError("--index " + index_ +
                        ": no such file; write one with cltrain embed --index flat");
    if (!sheet_.empty()) check_output("--sheet", sheet_, ".png");
    const SimilarityIndex index(index_, stem_of(index_));
    const std::vector<SimilarSample> found = search(index);
    const EmbeddingSource& source = index.manifest().source;
    std::printf("nearest to sample %lld (label %lld) of %s, by the weights of step %lld:\n",
                static_cast<long long>(query_), static_cast<long long>(index.label_of(query_)),
                source.data_set.c_str(), static_cast<long long>(source.step));
    std::printf("  %10s  %6s  %6s\n", "id", "cosine", "label");
    for (const SimilarSample& sample : found)
      std::printf("  %10lld  %6.3f  %6lld\n", static_cast<long long>(sample.id),
                  static_cast<double>(sample.similarity), static_cast<long long>(sample.label));
    if (!sheet_.empty()) draw(index, found, invocation.overrides);
    return kDone;
  }

 private:
  std::vector<SimilarSample> search(const SimilarityIndex& index) const {
    try {
      return index.neighbours(query_, k_);
    } catch (const std::invalid_argument& error) {
      throw ConfigError("--query " + std::to_string(query_) + ": " + error.what());
    }
  }

  void draw(const SimilarityIndex& index, const std::vector<SimilarSample>& found,
            const std::vector<std::string>& overrides) {
    const EmbeddingSource& source = index.manifest().source;
    // The manifest names the run, or the config where given weights were embedded.
    if (choice_.run.empty())
      (fs::is_directory(source.run) ? choice_.run : choice_.config) = source.run;
    if (choice_.run.empty() && !fs::exists(choice_.config))
      throw ConfigError("--sheet: " + source.run +
                        ", which the index was made by, is not here; give --run DIR");
    const auto read = read_run_options(choice_, overrides);
    require_pictures(read->options, "neighbours");
    const DatasetPair data = open_datasets(read->options.data);
    const Dataset* chosen = source.split == "train" ? data.train.get() : data.test.get();
    if (chosen == nullptr || chosen->describe() != source.data_set)
      throw DataError("--sheet: the index was made of " + source.data_set + ", but " + source.run +
                      " now gives " + (chosen ? chosen->describe() : "no such set") +
                      "; give the options that cltrain embed had (data.root=...), or --run");
    const Dataset& set = *chosen;
    std::vector<SheetCell> cells{
        {.image = image_of(set, query_), .caption = std::to_string(query_), .framed = true}};
    for (const SimilarSample& sample : found)
      cells.push_back({.image = image_of(set, sample.id), .caption = caption(sample)});
    write_png(sheet_, contact_sheet(cells, {.columns = std::min<int64_t>(
                                                8, static_cast<int64_t>(cells.size()))}));
    std::printf("wrote %s\n", sheet_.c_str());
  }

  static Image image_of(const Dataset& set, int64_t id) {
    if (id < set.size() && set.source_id(id) == id) return set.image(id);
    for (int64_t position = 0; position < set.size(); ++position)
      if (set.source_id(position) == id) return set.image(position);
    throw DataError(set.describe() + " has no sample " + std::to_string(id) +
                    ": the data set is not the one the index was made of; give --run");
  }

  RunChoice choice_;
  std::string index_, sheet_;
  int64_t query_ = kNoQuery, k_ = 8;
};

}  // namespace

std::unique_ptr<Command> make_neighbours_command() {
  return std::make_unique<NeighboursCommand>();
}

}  // namespace cltrain
