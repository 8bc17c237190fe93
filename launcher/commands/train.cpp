// cltrain train | config: the options of a run, printed or trained with.
#include "configs/config.h"
#include "configs/mistakes.h"
#include "dist/exit_codes.h"
#include "dist/world.h"
#include "launcher/build_info.h"
#include "launcher/commands/commands.h"
#include "launcher/opened_run.h"
#include "launcher/options.h"
#include "launcher/session.h"
#include "train/signals.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

namespace cltrain {
namespace {

/// The options of one run, which may be a stage of several.
struct RunPlan {
  explicit RunPlan(const std::string& stem) : described(stem) {}

  DescribedOptions described;
  ResolvedConfig config;
  int64_t stage = 0;  ///< from 1; 0: the config has no stages
};

/// The flags --config and --stage, and what they and the overrides make of the options.
class WithConfig : public Command {
 public:
  void describe(OptionTable& flags) override {
    flags.add("--config", file_,
              {.doc = "the config: a file here, or one of the shipped ones by name"});
    flags.add(
        "--stage", stage_,
        {.doc = "of a config with stages: this one alone; 0: all, one after the other", .min = 0});
  }

 protected:
  /// One run, or one a stage. run.dir of a stage is its number below that of the config.
  std::vector<std::unique_ptr<RunPlan>> load(const Invocation& invocation) const {
    if (file_.empty())
      throw ConfigError(
          "command line: no config given; try --config simclr_fashion.yaml; see "
          "cltrain --help");
    auto whole = load_stage(invocation, 0);
    const int64_t stages = whole->config.stages;
    if (stage_ > stages)
      throw ConfigError(
          "--stage " + std::to_string(stage_) + ": " + whole->config.file.string() + " has " +
          (stages == 0 ? "no stages; leave --stage out" : "stages 1 to " + std::to_string(stages)));
    std::vector<std::unique_ptr<RunPlan>> plans;
    if (stages == 0) plans.push_back(std::move(whole));
    for (int64_t stage = 1; stage <= stages; ++stage)
      if (stage_ == 0 || stage_ == stage) plans.push_back(load_stage(invocation, stage));
    return plans;
  }

 private:
  std::unique_ptr<RunPlan> load_stage(const Invocation& invocation, int64_t stage) const {
    auto plan = std::make_unique<RunPlan>(std::filesystem::path(file_).stem().string());
    plan->stage = stage;
    plan->config = load_config({.file = file_,
                                .overrides = invocation.overrides,
                                .search = config_folders(),
                                .stage = stage},
                               plan->described.table);
    std::string& folder = plan->described.options.train.run.dir;
    if (stage > 0) folder = (std::filesystem::path(folder) / std::to_string(stage)).string();
    return plan;
  }

  std::string file_;
  int64_t stage_ = 0;
};

class ConfigCommand : public WithConfig {
 public:
  int run(const Invocation& invocation) override {
    for (const auto& plan : load(invocation)) {
      if (plan->stage > 0)
        std::fputs(("# stage " + std::to_string(plan->stage) + "\n").c_str(), stdout);
      std::fputs(resolved_with_origins(plan->config).c_str(), stdout);
    }
    return kDone;
  }
};

class TrainCommand : public WithConfig {
 public:
  int run(const Invocation& invocation) override {
    const auto plans = load(invocation);
    for (const auto& plan : plans) refuse_problems(plan->described.options, announced_size());
    listen_for_stop();  // before MPI: a batch system may ask at any moment
    World world = open_world(plans.front()->described.options.dist);
    invocation.rank = world.rank;
    int code = kDone;
    for (const auto& plan : plans) {
      const Options& options = plan->described.options;
      refuse_problems(options, world.size);
      if (plan->stage > 0)
        say(world, "stage " + std::to_string(plan->stage) + " of " +
                       std::to_string(plan->config.stages) + "\n");
      code = train(options, plan->described.table, plan->config, world);
      if (code != kDone) break;  // the same command goes on there
    }
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
