#include "launcher/opened_run.h"

#include "configs/mistakes.h"
#include "launcher/build_info.h"
#include "launcher/kept_data.h"
#include "launcher/model_file.h"
#include "launcher/start_up.h"
#include "models/nets/layers.h"
#include "models/registry.h"
#include "train/best_weights.h"
#include "train/checkpoint.h"
#include "train/dtype.h"
#include "train/files.h"
#include "train/spread_state.h"
#include "train/weights.h"

#include <algorithm>
#include <cstdio>

#include <ATen/ops/full.h>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

void check(const RunChoice& choice) {
  if (choice.run.empty() == choice.config.empty())
    throw ConfigError(choice.run.empty()
                          ? "no run and no config named: give --run DIR or --config FILE"
                          : "--run and --config exclude each other: a run brings its own config");
  if (choice.run.empty()) return;
  if (!choice.weights.empty())
    throw ConfigError("--weights goes with --config: --run takes the run's newest checkpoint");
  if (!fs::exists(fs::path(choice.run) / "config.resolved.yaml"))
    throw ConfigError("--run " + choice.run +
                      ": no run of cltrain there (no config.resolved.yaml)");
}

/// "x" of "runs/x", "runs/x/" and, inside it, of ".".
std::string run_name(const std::string& run) {
  const fs::path path = fs::absolute(run).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

/// The same tensors under names that begin with `prefix`.
std::vector<NamedTensor> below(const std::string& prefix, const std::vector<NamedTensor>& tensors) {
  std::vector<NamedTensor> renamed;
  for (const auto& [name, tensor] : tensors) renamed.emplace_back(prefix + name, tensor);
  return renamed;
}

/// Whether the checkpoint of a run has weights that an evaluation found best.
bool has_best(const CheckpointStore& store, const FoundCheckpoint& found, int64_t patience) {
  if (patience == 0) return false;
  const at::Tensor counts = at::full({3}, -1, at::kLong);
  store.load(found, {{kBestCounts, counts}}, kBestCounts);
  return any_best(counts);
}

/// Loads the model's part of the newest checkpoint on rank 0 and spreads it.
void load_checkpoint(OpenedRun& run) {
  const CheckpointStore store(run.folder / "checkpoints", 1, [](const std::string& text) {
    std::fprintf(stderr, "%s\n", text.c_str());
  });
  const std::vector<StateTensor> state = model_state(*run.method);
  std::vector<NamedTensor> whole;
  at::Tensor which = at::full({2}, -1, at::kLong);  // the step, and whether the best weights
  if (run.world.rank == 0) {
    const auto found = store.newest(CheckpointStore::Damaged::kLeave);
    if (!found)
      throw CheckpointError(run.folder.string() +
                            " has no checkpoint yet; wait for its first (checkpoint.every), or use "
                            "--config for an untrained encoder");
    whole = room_for_state(state);
    const bool best = has_best(store, *found, run.options().train.train.patience);
    if (best)
      store.load(*found, below("best.", whole), "best.model.");
    else
      store.load(*found, whole, "model.");
    which[0] = found->counters.at("step");
    which[1] = best ? 1 : 0;
  }
  run.communicators.control->broadcast(which);
  spread_state(state, whole, run.communicators);
  run.step = which[0].item<int64_t>();
  run.weights = std::string(which[1].item<int64_t>() == 1 ? "best weights in the " : "") +
                "checkpoint of step " + std::to_string(run.step);
}

/// What training starts from: keyed random weights, or those of model.init_from.
void load_first_weights(OpenedRun& run) {
  const std::string& file = run.options().method.model.init_from;
  run.weights = file.empty() ? "untrained" : "initial weights " + file;
  if (!file.empty()) load_initial_weights(*run.method, file);
}

}  // namespace

void describe(OptionTable& flags, RunChoice& choice, bool with_weights) {
  flags.add("--run", choice.run, {.doc = "a run's folder: its config and newest checkpoint"});
  flags.add("--config", choice.config, {.doc = "a config instead of a run"});
  if (with_weights)
    flags.add("--weights", choice.weights,
              {.doc = "with --config: weights of the encoder, a .safetensors file with "
                      "torchvision's names; none: an untrained encoder"});
}

std::unique_ptr<RunOptionsRead> read_run_options(const RunChoice& choice,
                                                 const std::vector<std::string>& overrides) {
  check(choice);
  auto read = std::make_unique<RunOptionsRead>(fs::path(choice.config).stem().string());
  const std::string file =
      choice.run.empty() ? choice.config : (fs::path(choice.run) / "config.resolved.yaml").string();
  const ResolvedConfig config =
      load_config({.file = file, .overrides = overrides, .search = config_folders()}, read->table);
  read->name = choice.run.empty() ? config.stem : run_name(choice.run);
  if (!choice.run.empty()) read->options.method = with_model_file(read->options.method, choice.run);
  refuse_problems(read->options, 1);
  return read;
}

std::unique_ptr<OpenedRun> open_run(const RunChoice& choice,
                                    const std::vector<std::string>& overrides, int& rank,
                                    bool trained) {
  auto run = std::make_unique<OpenedRun>();
  run->read = read_run_options(choice, overrides);
  const Options& options = run->options();
  run->folder = choice.run;
  run->world = open_world(options.dist);
  rank = run->world.rank;
  set_numerics(options.train.run);
  run->communicators = open_communicators(run->world);
  run->data = open_data(options);
  if (!choice.run.empty()) check_data(run->data, choice.run);
  run->type = scalar_type_of(options.train.run);
  run->workers = loader_workers(options, run->world);
  run->method =
      make_method(with_model_file(options.method), static_cast<uint64_t>(options.train.run.seed),
                  *run->communicators.loss, input_of(run->data, options));
  move_to(*run->method, run->world.device, run->type);
  if (!trained) {
    load_first_weights(*run);
  } else if (!choice.run.empty()) {
    load_checkpoint(*run);
  } else if (!choice.weights.empty()) {
    load_initial_weights(*run->method, choice.weights);
    run->weights = choice.weights;
  } else {
    load_first_weights(*run);
  }
  run->method->eval();
  return run;
}

void require_pictures(const Options& options, const std::string& command) {
  const DataKind kind = data_kind(options);
  const std::string works = "cltrain " + command +
                            " works on pictures and clips, and method.name=" + options.method.name +
                            " trains on ";
  if (kind == DataKind::kSequences)
    throw ConfigError(works +
                      "sequences of items; cltrain eval, export and recommend take such runs");
  if (kind == DataKind::kClicks)
    throw ConfigError(works + "rows of clicks; cltrain eval and export take such runs");
}

void close_run(std::unique_ptr<OpenedRun> run) {
  World world = run->world;
  run.reset();
  close_world(world);
}

Embed encoder_of(const OpenedRun& run) {
  return [&run](const at::Tensor& images) {
    return run.method->embed(images.to(run.world.device, run.type));
  };
}

EmbedSettings embed_settings(const OpenedRun& run) {
  return {.batch = run.options().eval.batch,
          .workers = run.workers,
          .rank = run.world.rank,
          .size = run.world.size};
}

int64_t loader_workers(const Options& options, const World& world) {
  return options.data.workers > 0 ? options.data.workers : std::max(1, world.cores);
}

void check_output(const std::string& flag, const std::string& path, const std::string& ending) {
  if (!ending.empty() && fs::path(path).extension() != ending)
    throw ConfigError(flag + " " + path + ": name the file " + ending + ", the format it has");
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder))
    throw ConfigError(flag + " " + path + ": there is no folder " + folder.string() +
                      "; make it, or name another");
  if (fs::is_directory(path)) throw ConfigError(flag + " " + path + " is a folder; name a file");
}

void say(const World& world, const std::string& text) {
  if (world.rank != 0) return;
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace cltrain
