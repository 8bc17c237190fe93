// cltrain: contrastive training on many ranks with the whole global batch as negatives.
//
// The story: command line -> command (launcher/command.cpp lists them) -> its options (mistakes end
// here, before MPI and torch do any work) -> ranks -> the work; for training that is
// launcher/session.cpp -> exit code (dist/exit_codes.h).
#include "configs/config.h"
#include "configs/mistakes.h"
#include "dist/exit_codes.h"
#include "dist/world.h"
#include "launcher/build_info.h"
#include "launcher/command_line.h"
#include "launcher/errors.h"
#include "launcher/options.h"

#include <cstdio>

namespace cltrain {
namespace {

std::string help(const CommandLine& line) {
  if (line.row != nullptr) return usage(*line.row);
  const std::string text = options_help(DescribedOptions().table, line.help_prefix);
  if (text.empty()) throw ConfigError("no option begins with '" + line.help_prefix + "'");
  // Who asks for one section wants to read that, not the general part.
  return line.help_prefix.empty() ? usage() + text : text;
}

int run(const std::vector<std::string>& arguments, int& rank) {
  const CommandLine line = parse_command_line(arguments);
  switch (line.action) {
    case CommandLine::Action::kRun:
      if (line.row->alone && rank != 0) return kDone;
      return line.command->run({line.overrides, line.words, rank});
    case CommandLine::Action::kVersion:
      if (rank == 0) std::fputs(version_text().c_str(), stdout);
      return kDone;
    case CommandLine::Action::kHelp:
      if (const std::string text = help(line); rank == 0) std::fputs(text.c_str(), stdout);
      return kDone;
  }
  return kFailure;
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
