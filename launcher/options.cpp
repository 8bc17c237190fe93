#include "launcher/options.h"

#include "configs/mistakes.h"

namespace cltrain {

DescribedOptions::DescribedOptions(const std::string& run) {
  options.train.run.dir = "runs/" + run;
  describe(table, options.train);
  describe(table, options.method);
  describe(table, options.data);
  describe(table, options.augment);
  describe(table, options.eval);
  describe(table, options.dist);
  describe(table, options.metrics);
}

std::vector<std::string> problems(const Options& options, int ranks) {
  std::vector<std::string> found = problems(options.augment);
  const int64_t batch = options.train.train.global_batch;
  if (batch < ranks)
    found.push_back("train.global_batch=" + std::to_string(batch) + " is smaller than the " +
                    std::to_string(ranks) +
                    " ranks: some would never have a row; raise train.global_batch to at least " +
                    std::to_string(ranks) + " or start fewer ranks");
  if (options.train.run.autocast != "none" && options.train.run.dtype != "float32")
    found.push_back("run.autocast=" + options.train.run.autocast +
                    " goes with run.dtype=float32, not " + options.train.run.dtype +
                    "; set run.autocast=none");
  return found;
}

void refuse_problems(const Options& options, int ranks) {
  std::string all;
  for (const std::string& problem : problems(options, ranks))
    all += (all.empty() ? "" : "\n") + problem;
  if (!all.empty()) throw ConfigError(all);
}

}  // namespace cltrain
