// The command line: `cltrain [COMMAND] [--flag value ...] [key=value ...]`, --help, --version.
// Parsed on every rank before MPI starts. Throws ConfigError (exit code 2).
#pragma once

#include "launcher/command.h"

#include <memory>
#include <string>
#include <vector>

namespace cltrain {

struct CommandLine {
  enum class Action { kRun, kHelp, kVersion };
  Action action = Action::kRun;
  const CommandRow* row = nullptr;     ///< the command; null for --help without one
  std::unique_ptr<Command> command;    ///< its flags are set
  std::vector<std::string> overrides;  ///< key=value, group=option
  std::vector<std::string> words;
  std::string help_prefix;  ///< of --help PREFIX
};

CommandLine parse_command_line(const std::vector<std::string>& arguments);

/// The first part of `cltrain --help`; the options follow it.
std::string usage();
/// `cltrain COMMAND --help`.
std::string usage(const CommandRow& row);

}  // namespace cltrain
