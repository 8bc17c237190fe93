// cltrain plot: curves of one or several runs, as one SVG.
#include "monitoring/plot.h"

#include "configs/mistakes.h"
#include "data/dataset.h"
#include "data/durable_file.h"
#include "dist/exit_codes.h"
#include "launcher/commands/commands.h"
#include "launcher/opened_run.h"
#include "monitoring/sink.h"

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
    if (invocation.words.empty())
      throw ConfigError("cltrain plot: no run named; for example: cltrain plot runs/*");
    check_output("--out", out_, ".svg");
    for (const std::string& run : invocation.words)
      if (!std::filesystem::exists(std::filesystem::path(run) / "metrics.jsonl"))
        throw ConfigError(run +
                          ": no run of cltrain with steps on record (no metrics.jsonl there)");
    replace_file_durably(out_, draw(invocation.words));
    std::printf("wrote %s\n", out_.c_str());
    return kDone;
  }

 private:
  static std::string draw(const std::vector<std::string>& runs) {
    try {
      return plot_runs_svg({runs.begin(), runs.end()});
    } catch (const RecordError& error) {
      throw DataError(error.what());  // damaged input, not a record that cannot be written
    }
  }

  std::string out_ = "curves.svg";
};

}  // namespace

std::unique_ptr<Command> make_plot_command() {
  return std::make_unique<PlotCommand>();
}

}  // namespace cltrain
