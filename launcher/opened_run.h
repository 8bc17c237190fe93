// What eval, embed, export and views start from: a run, or a config with weights.
//
// read_run_options() is called before MPI, on every rank; open_run() and the rest are collective.
#pragma once

#include "configs/config.h"
#include "dist/communicator.h"
#include "dist/world.h"
#include "eval/features.h"
#include "launcher/options.h"
#include "launcher/run_data.h"
#include "models/method.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cltrain {

/// The flags that say which encoder is meant.
struct RunChoice {
  std::string run, config, weights;
};

void describe(OptionTable& flags, RunChoice& choice, bool with_weights = true);

/// The options of the chosen run (its config.resolved.yaml) or config, with the overrides applied.
struct RunOptionsRead : DescribedOptions {
  using DescribedOptions::DescribedOptions;
  std::string name;  ///< of the run's folder, or stem of the config
};
std::unique_ptr<RunOptionsRead> read_run_options(const RunChoice& choice,
                                                 const std::vector<std::string>& overrides);

/// An encoder on its device, in evaluation mode, with the data it is to look at.
struct OpenedRun {
  std::unique_ptr<RunOptionsRead> read;
  World world;
  Communicators communicators;
  RunData data;
  std::shared_ptr<Method> method;
  at::ScalarType type = at::kFloat;
  int64_t workers = 1;           ///< decoding threads
  int64_t step = 0;              ///< of the checkpoint; 0 with given weights or none
  std::string weights;           ///< what was loaded, for people
  std::filesystem::path folder;  ///< of the run; empty with --config

  const Options& options() const { return read->options; }
};

/// Opens the ranks, the data and the method; loads the run's newest checkpoint, or the weights.
/// With --config and no weights, or `trained` = false, the encoder has its initial weights. `rank`
/// is set as soon as it is known.
std::unique_ptr<OpenedRun> open_run(const RunChoice& choice,
                                    const std::vector<std::string>& overrides, int& rank,
                                    bool trained = true);
/// For commands that work on pictures and clips: ConfigError where the run is another one.
/// `command`: "embed".
void require_pictures(const Options& options, const std::string& command);

/// Leaves the ranks: the communicators go before MPI does.
void close_run(std::unique_ptr<OpenedRun> run);

/// The encoder's features of images [n, 3, S, S], and how this rank embeds its share.
Embed encoder_of(const OpenedRun& run);
EmbedSettings embed_settings(const OpenedRun& run);

/// data.workers, or this rank's share of the cores.
int64_t loader_workers(const Options& options, const World& world);

/// Before any work: ConfigError unless a file with this ending ("": any) can be meant there.
void check_output(const std::string& flag, const std::string& path, const std::string& ending);

/// Prints on rank 0.
void say(const World& world, const std::string& text);

}  // namespace cltrain
