// cltrain: contrastive training on many ranks with the whole global batch as negatives.
//
// The story: command line -> config (mistakes end here, before MPI and torch do any work) -> ranks
// -> training session (launcher/session.cpp) -> exit code (dist/exit_codes.h).
#include "configs/config.h"
#include "dist/exit_codes.h"
#include "dist/world.h"
#include "launcher/build_info.h"
#include "launcher/command_line.h"
#include "launcher/errors.h"
#include "launcher/options.h"
#include "launcher/session.h"
#include "train/signals.h"

#include <cstdio>
#include <filesystem>

namespace cltrain {
namespace {

void refuse_if_any(const std::vector<std::string>& problems) {
  std::string all;
  for (const std::string& problem : problems) all += (all.empty() ? "" : "\n") + problem;
  if (!all.empty()) throw ConfigError(all);
}

void print_once(int rank, const std::string& text) {
  if (rank == 0) std::fputs(text.c_str(), stdout);
}

int run(const std::vector<std::string>& arguments, int& rank) {
  const CommandLine line = parse_command_line(arguments);
  Options options;
  OptionTable table;
  options.train.run.dir =
      "runs/" +
      (line.config.empty() ? "<config>" : std::filesystem::path(line.config).stem().string());
  describe(table, options);
  if (line.action == CommandLine::Action::kVersion) return print_once(rank, version_text()), kDone;
  if (line.action == CommandLine::Action::kHelp) {
    const std::string help = options_help(table, line.help_prefix);
    if (help.empty()) throw ConfigError("no option begins with '" + line.help_prefix + "'");
    return print_once(rank, usage() + help), kDone;
  }

  const ResolvedConfig config = load_config(
      {.file = line.config, .overrides = line.overrides, .search = config_folders()}, table);
  if (line.action == CommandLine::Action::kPrintConfig)
    return print_once(rank, resolved_with_origins(config)), kDone;
  refuse_if_any(problems(options, announced_size()));

  listen_for_stop();  // before MPI: a batch system may ask at any moment
  World world = open_world(options.dist);
  rank = world.rank;
  refuse_if_any(problems(options, world.size));
  const int code = train(options, table, config, world);
  close_world(world);
  return code;
}

}  // namespace
}  // namespace cltrain

int main(int count, char** words) {
  int rank = cltrain::announced_rank();
  int code = cltrain::kFailure;
  try {
    code = cltrain::run({words + 1, words + count}, rank);
  } catch (...) {
    code = cltrain::report_current_error(rank);
  }
  cltrain::leave(code);
}
