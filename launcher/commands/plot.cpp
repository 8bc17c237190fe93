// cltrain plot: curves of one or several runs, as one SVG.
#include "monitoring/plot.h"

#include "configs/mistakes.h"
#include "dist/exit_codes.h"
#include "dist/world.h"
#include "launcher/commands/commands.h"
#include "train/files.h"

#include <cstdio>
#include <filesystem>

namespace cltrain {
namespace {

class PlotCommand : public Command {
 public:
  void describe(OptionTable& flags) override {
    flags.add("--out", out_, {.doc = "the picture, an .svg file"});
  }

  int run(const Invocation& invocation) override {
    if (announced_rank() != 0) return kDone;
    if (invocation.words.empty())
      throw ConfigError("cltrain plot: no run named; for example: cltrain plot runs/*");
    if (std::filesystem::path(out_).extension() != ".svg")
      throw ConfigError("--out " + out_ + ": cltrain plot draws SVG; name the file .svg");
    replace_file_durably(out_, plot_runs_svg({invocation.words.begin(), invocation.words.end()}));
    std::printf("wrote %s\n", out_.c_str());
    return kDone;
  }

 private:
  std::string out_ = "curves.svg";
};

}  // namespace

std::unique_ptr<Command> make_plot_command() {
  return std::make_unique<PlotCommand>();
}

}  // namespace cltrain
