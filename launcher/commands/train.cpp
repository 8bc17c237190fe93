// cltrain train | config: the options of a run, printed or trained with.
#include "configs/config.h"
#include "configs/mistakes.h"
#include "dist/exit_codes.h"
#include "dist/world.h"
#include "launcher/build_info.h"
#include "launcher/commands/commands.h"
#include "launcher/options.h"
#include "launcher/session.h"
#include "train/signals.h"

#include <cstdio>
#include <filesystem>
#include <optional>

namespace cltrain {
namespace {

/// The flag --config and what it and the overrides make of the options.
class WithConfig : public Command {
 public:
  void describe(OptionTable& flags) override {
    flags.add("--config", file_,
              {.doc = "the config: a file here, or one of the shipped ones by name"});
  }

 protected:
  ResolvedConfig load(const Invocation& invocation) {
    if (file_.empty())
      throw ConfigError(
          "command line: no config given; try --config simclr_fashion.yaml; see "
          "cltrain --help");
    described_.emplace(std::filesystem::path(file_).stem().string());
    return load_config(
        {.file = file_, .overrides = invocation.overrides, .search = config_folders()},
        described_->table);
  }

  std::string file_;
  std::optional<DescribedOptions> described_;  // since load()
};

class ConfigCommand : public WithConfig {
 public:
  int run(const Invocation& invocation) override {
    std::fputs(resolved_with_origins(load(invocation)).c_str(), stdout);
    return kDone;
  }
};

class TrainCommand : public WithConfig {
 public:
  int run(const Invocation& invocation) override {
    const ResolvedConfig config = load(invocation);
    const Options& options = described_->options;
    refuse_problems(options, announced_size());
    listen_for_stop();  // before MPI: a batch system may ask at any moment
    World world = open_world(options.dist);
    invocation.rank = world.rank;
    refuse_problems(options, world.size);
    const int code = train(options, described_->table, config, world);
    close_world(world);
    return code;
  }
};

}  // namespace

std::unique_ptr<Command> make_config_command() {
  return std::make_unique<ConfigCommand>();
}

std::unique_ptr<Command> make_train_command() {
  return std::make_unique<TrainCommand>();
}

}  // namespace cltrain
