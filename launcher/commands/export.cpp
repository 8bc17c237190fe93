// cltrain export: the encoder of a run as a file of weights with torchvision's names.
#include "configs/mistakes.h"
#include "dist/exit_codes.h"
#include "launcher/build_info.h"
#include "launcher/commands/commands.h"
#include "launcher/opened_run.h"
#include "train/weights.h"

namespace cltrain {
namespace {

class ExportCommand : public Command {
 public:
  void describe(OptionTable& flags) override {
    flags.add("--run", choice_.run, {.doc = "a run's folder: its newest checkpoint is written"});
    flags.add("--out", out_, {.doc = "the file of weights, .safetensors"});
  }

  int run(const Invocation& invocation) override {
    if (choice_.run.empty())
      throw ConfigError("cltrain export needs --run DIR: the run whose encoder is to be written");
    check_output("--out", out_, ".safetensors");
    auto run = open_run(choice_, invocation.overrides, invocation.rank);
    if (run->world.rank == 0) {
      const ModelOptions& model = run->options().method.model;
      const std::string sha256 =
          export_backbone(*run->method, out_,
                          {{"method", run->options().method.name},
                           {"model", model.name},
                           {"small_stem", model.small_stem ? "true" : "false"},
                           {"step", std::to_string(run->step)},
                           {"config", run->read->name},
                           {"cltrain", commit()}});
      say(run->world, "wrote " + out_ + ": " + model.name + ", " + run->weights +
                          ", SHA-256 of the weights " + sha256 + "\n");
    }
    close_run(std::move(run));
    return kDone;
  }

 private:
  RunChoice choice_;
  std::string out_ = "backbone.safetensors";
};

}  // namespace

std::unique_ptr<Command> make_export_command() {
  return std::make_unique<ExportCommand>();
}

}  // namespace cltrain
