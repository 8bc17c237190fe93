// Sub-commands: what `cltrain NAME ...` can be. One row a command in command_table(); parsing,
// --help and shell completion all walk it. A command declares its --flags in an option table of its
// own, as the rooms declare options.
//
// Parsed and run on every rank, single-threaded until the command itself opens the ranks. Mistakes
// are ConfigError (exit code 2).
#pragma once

#include "configs/option_table.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cltrain {

/// What stands on the command line besides the command's flags.
struct Invocation {
  std::vector<std::string> overrides;  ///< key=value, group=option: options of the run
  std::vector<std::string> words;      ///< everything else that is no flag
  int& rank;                           ///< the command sets it once MPI has told
};

class Command {
 public:
  virtual ~Command() = default;
  /// Declares its flags, named "--run" and so on, bound to fields of this object.
  virtual void describe(OptionTable& flags) {}
  /// Returns the exit code; errors are exceptions (launcher/errors.h).
  virtual int run(const Invocation& invocation) = 0;
};

struct CommandRow {
  std::string name;
  std::string summary;         ///< one line, no full stop
  std::string usage;           ///< what follows the name
  std::string example;         ///< a whole command line
  bool alone = false;          ///< the first rank does it, the others have nothing to do
  bool takes_options = false;  ///< key=value of the run's options
  bool takes_words = false;
  std::function<std::unique_ptr<Command>()> make;
};

/// In the order in which --help shows them; the first one runs when no command is named.
const std::vector<CommandRow>& command_table();

}  // namespace cltrain
