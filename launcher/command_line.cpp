#include "launcher/command_line.h"

#include "configs/mistakes.h"

namespace cltrain {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw ConfigError("command line: " + what + "; see cltrain --help");
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  CommandLine line;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const bool has_next = i + 1 < arguments.size();
    if (word == "--help" || word == "-h") {
      line.action = CommandLine::Action::kHelp;
      if (has_next) line.help_prefix = arguments[++i];
    } else if (word == "--version") {
      line.action = CommandLine::Action::kVersion;
    } else if (word == "--config") {
      if (!has_next) refuse("--config needs a file, for example --config simclr_fashion.yaml");
      line.config = arguments[++i];
    } else if (word.rfind("--config=", 0) == 0) {
      line.config = word.substr(9);
    } else if (word == "config" && i == 0) {
      line.action = CommandLine::Action::kPrintConfig;
    } else if (word.rfind('-', 0) != 0 && word.find('=') != std::string::npos) {
      line.overrides.push_back(word);
    } else {
      refuse("'" + word +
             "' is neither a command (config), nor --config, --help, --version, nor key=value");
    }
  }
  const bool needs_config = line.action == CommandLine::Action::kTrain ||
                            line.action == CommandLine::Action::kPrintConfig;
  if (needs_config && line.config.empty())
    refuse("no config given; try --config simclr_fashion.yaml");
  return line;
}

std::string usage() {
  return "cltrain trains contrastive models on many ranks with the whole global batch as "
         "negatives.\n\n"
         "  mpirun -n 4 cltrain --config simclr_fashion.yaml [key=value ...]   train, or continue\n"
         "  cltrain config --config FILE [key=value ...]   print every option and where it was "
         "set\n"
         "  cltrain --help [PREFIX]                        this text; only options below PREFIX\n"
         "  cltrain --version\n\n"
         "FILE is looked up in the working directory, then among the shipped configs. Later "
         "settings\nwin: defaults, then the files of its `defaults:` list, the file itself, "
         "key=value.\n\n"
         "Exit codes: 0 done; 2 mistake in config or command line; 3 data missing or damaged; 4 "
         "run\n"
         "directory of another run; 5 no sound checkpoint; 70 loss or gradient not finite; 71 a "
         "rank is\nlost or hangs; 74 cannot write; 75 stopped with a checkpoint, run me again.\n\n";
}

}  // namespace cltrain
