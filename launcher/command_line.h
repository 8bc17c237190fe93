// The command line: `cltrain [config] --config FILE [key=value ...]`, --help, --version.
// Parsed on every rank before MPI starts. Throws ConfigError (exit code 2).
#pragma once

#include <string>
#include <vector>

namespace cltrain {

struct CommandLine {
  enum class Action { kTrain, kPrintConfig, kHelp, kVersion };
  Action action = Action::kTrain;
  std::string config;                  ///< of --config
  std::vector<std::string> overrides;  ///< key=value, group=option
  std::string help_prefix;             ///< of --help PREFIX
};

CommandLine parse_command_line(const std::vector<std::string>& arguments);

/// The first part of --help; the options follow it.
std::string usage();

}  // namespace cltrain
