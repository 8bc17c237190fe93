#include "launcher/options.h"

#include "configs/mistakes.h"
#include "launcher/model_file.h"
#include "models/backbone/model_file.h"
#include "models/registry.h"
#include "ops/lse_cuda.h"

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

DataKind data_kind(const Options& options) {
  const DataKind kind = data_kind(options.data);
  const bool clicks = method_line(options.method.name).input == InputKind::kClicks;
  return clicks && kind == DataKind::kSequences ? DataKind::kClicks : kind;
}

InputShape input_shape(const Options& options) {
  const ViewShape view = view_shape(options.data, options.augment);
  if (view.empty()) return {.length = options.data.max_length};
  return {.size = view.back(), .frames = view.size() == 4 ? view[1] : 0};
}

namespace {

/// What a method is fed with, as data are and for people.
struct Feed {
  InputKind method;
  DataKind data;
  const char* text;
  const char* advice;
};
constexpr Feed kFeeds[] = {
    {InputKind::kImages, DataKind::kImages, "images", "set data.name to a set of images"},
    {InputKind::kClips, DataKind::kClips, "clips of video",
     "set data.name=video_folder and data.root=FOLDER"},
    {InputKind::kSequences, DataKind::kSequences, "sequences of items",
     "set data.name=NAME for NAME.txt or NAME.inter in data.root"},
    {InputKind::kClicks, DataKind::kClicks, "rows of clicks",
     "set data.name=clicks_synthetic, or data.name=NAME for NAME.inter in data.root"},
};

std::string names_of_data_sets() {
  std::string names;
  for (const DataSetRow& row : data_set_table())
    if (!row.clicks) names += (names.empty() ? "" : ", ") + row.name;
  return names;
}

// Images for a method of images, and so on; one sentence, or none where all is well.
std::string kind_of_data_problem(const Options& options) {
  const DataKind given = data_kind(options);
  const RegistryLine method = method_line(options.method.name);
  const std::string unknown = "data.name=" + options.data.name +
                              ": no such data set of images or videos (" + names_of_data_sets() +
                              "), and method.name=" + method.name + " trains on ";
  const bool pictures = given == DataKind::kImages || given == DataKind::kClips;
  if (method.input == InputKind::kEither)
    return pictures ? "" : unknown + "these; choose one of them";
  std::string gives;
  for (const Feed& feed : kFeeds)
    if (feed.data == given) gives = feed.text;
  for (const Feed& wanted : kFeeds) {
    if (wanted.method != method.input || wanted.data == given) continue;
    const std::string what = std::string(wanted.text) + "; " + wanted.advice;
    if (given == DataKind::kSequences) return unknown + what;
    return "data.name=" + options.data.name + " gives " + gives +
           ", and method.name=" + method.name + " trains on " + what;
  }
  return "";
}

}  // namespace

std::vector<std::string> problems(const Options& options, int ranks) {
  std::vector<std::string> found =
      problems(options.augment, method_line(options.method.name).views);
  const std::string kind = kind_of_data_problem(options);
  std::vector<std::string> more = problems(options.method, ranks);
  const DataKind given = data_kind(options);
  if (kind.empty() || given == DataKind::kImages || given == DataKind::kClips) {  // else idle
    const std::vector<std::string> unfit = problems(options.method, input_shape(options));
    more.insert(more.end(), unfit.begin(), unfit.end());
  }
  if (!kind.empty()) more.push_back(kind);
  if (options.method.name == "cl4srec_easyrec" && !options.method.easyrec.model.empty()) {
    try {
      read_model_file(find_model_file(options.method.easyrec.model));
    } catch (const ConfigError& mistakes) {
      more.push_back(mistakes.what());
    }
  }
  found.insert(found.end(), more.begin(), more.end());
  const int64_t batch = options.train.train.global_batch;
  if (batch < ranks)
    found.push_back("train.global_batch=" + std::to_string(batch) + " is smaller than the " +
                    std::to_string(ranks) +
                    " ranks: some would never have a row; raise train.global_batch to at least " +
                    std::to_string(ranks) + " or start fewer ranks");
  const int64_t chunk = options.train.train.micro_batch;
  if (chunk > batch)
    found.push_back("train.micro_batch=" + std::to_string(chunk) +
                    " is larger than train.global_batch=" + std::to_string(batch) +
                    ", of which it is a part; set it to at most " + std::to_string(batch) +
                    ", or to 0, which does not cut the batch");
  if (chunk > 0 && chunk < ranks)
    found.push_back("train.micro_batch=" + std::to_string(chunk) + " is smaller than the " +
                    std::to_string(ranks) +
                    " ranks over which each chunk is spread: some would idle in every chunk; raise "
                    "train.micro_batch to at least " +
                    std::to_string(ranks) + ", set it to 0, or start fewer ranks");
  if (options.train.run.autocast != "none" && options.train.run.dtype != "float32")
    found.push_back("run.autocast=" + options.train.run.autocast +
                    " goes with run.dtype=float32, not " + options.train.run.dtype +
                    "; set run.autocast=none");
  if (options.method.loss.cuda_kernels && options.dist.device != "cuda")
    found.push_back("loss.cuda_kernels=true goes with device=cuda, not " + options.dist.device +
                    "; set loss.cuda_kernels=false");
  if (options.method.loss.cuda_kernels && !has_lse_cuda_kernels())
    found.push_back(
        "loss.cuda_kernels=true, but this cltrain was built without CUDA; install nvcc and build "
        "again, or set loss.cuda_kernels=false");
  return found;
}

void refuse_problems(const Options& options, int ranks) {
  std::string all;
  for (const std::string& problem : problems(options, ranks))
    all += (all.empty() ? "" : "\n") + problem;
  if (!all.empty()) throw ConfigError(all);
}

}  // namespace cltrain
