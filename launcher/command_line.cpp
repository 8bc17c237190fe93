#include "launcher/command_line.h"

#include "configs/config.h"
#include "configs/mistakes.h"

#include <algorithm>

namespace cltrain {
namespace {

[[noreturn]] void refuse(const std::string& what, const CommandRow* row) {
  throw ConfigError("command line: " + what + "; see cltrain " +
                    (row != nullptr ? row->name + " " : "") + "--help");
}

const CommandRow* find_command(const std::string& name) {
  const auto& table = command_table();
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.name == name; });
  return found == table.end() ? nullptr : &*found;
}

std::string command_names() {
  std::string names;
  for (const CommandRow& row : command_table()) names += (names.empty() ? "" : ", ") + row.name;
  return names;
}

/// "; did you mean train?" for a mistyped command, else nothing.
std::string suggestion(const std::string& word) {
  OptionTable names;
  bool unused = false;
  for (const CommandRow& row : command_table()) names.add(row.name, unused, {.doc = row.summary});
  const std::string nearest = names.nearest(word);
  return nearest.empty() ? "" : "; did you mean " + nearest + "?";
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (const char letter : text)
    if (letter == at)
      parts.emplace_back();
    else
      parts.back() += letter;
  return parts;
}

/// Takes `--flag value`, `--flag=value` or, for switches, `--flag`; returns the words it took.
size_t take_flag(OptionTable& flags, const std::vector<std::string>& words, size_t at,
                 const CommandRow& row) {
  const std::string& word = words[at];
  const size_t equals = word.find('=');
  const std::string name = word.substr(0, equals);
  Option* option = flags.find(name);
  if (option == nullptr) {
    const std::string nearest = flags.nearest(name);
    refuse("'" + name + "' is no flag of cltrain " + row.name +
               (nearest.empty() ? "" : "; did you mean " + nearest + "?"),
           &row);
  }
  const bool is_switch = option->type_name() == "bool";
  size_t taken = 1;
  std::string value = "true";
  if (equals != std::string::npos) {
    value = word.substr(equals + 1);
  } else if (!is_switch) {
    if (at + 1 >= words.size())
      refuse(name + " needs a value: " + option->spec().doc + "; for example: " + row.example,
             &row);
    value = words[at + 1];
    taken = 2;
  }
  const std::string wrong =
      option->is_list() ? option->assign(split(value, ',')) : option->assign(value);
  if (!wrong.empty())
    refuse(name + " " + value + ": " + wrong + "; allowed: " + option->allowed(), &row);
  return taken;
}

}  // namespace

CommandLine parse_command_line(const std::vector<std::string>& arguments) {
  CommandLine line;
  std::vector<std::string> words = arguments;
  if (!words.empty()) line.row = find_command(words[0]);
  const bool named = line.row != nullptr;
  if (!named && words.size() == 1 && words[0] == "help") words[0] = "--help";
  if (named) words.erase(words.begin());
  const CommandRow& row = named ? *line.row : command_table().front();
  line.command = row.make();
  OptionTable flags;
  line.command->describe(flags);
  for (size_t i = 0; i < words.size();) {
    const std::string& word = words[i];
    if (word == "--help" || word == "-h") {
      line.action = CommandLine::Action::kHelp;
      if (!named && i + 1 < words.size()) line.help_prefix = words[i + 1];
      return line;
    }
    if (word == "--version" && !named) {
      line.action = CommandLine::Action::kVersion;
      return line;
    }
    if (word.rfind("--", 0) == 0) {
      i += take_flag(flags, words, i, row);
      continue;
    }
    if (const CommandRow* late = named ? nullptr : find_command(word))
      refuse("the command comes first: cltrain " + late->name + " ...", late);
    const bool assignment = word.rfind('-', 0) != 0 && word.find('=') != std::string::npos;
    if (assignment && row.takes_options)
      line.overrides.push_back(word);
    else if (!assignment && row.takes_words && word.rfind('-', 0) != 0)
      line.words.push_back(word);
    else
      refuse("'" + word + "' is neither " +
                 (named ? "" : "a command (" + command_names() + suggestion(word) + "), nor ") +
                 (row.takes_options ? "a flag, nor key=value"
                                    : "a flag nor a word that cltrain " + row.name + " takes"),
             line.row);
    ++i;
  }
  line.row = &row;
  return line;
}

std::string usage() {
  std::string text =
      "cltrain trains contrastive models on many ranks with the whole global batch as negatives.\n"
      "\n  mpirun -n 4 cltrain --config simclr_fashion.yaml [key=value ...]   train, or continue\n"
      "  cltrain COMMAND [--flag value ...] [key=value ...]\n"
      "  cltrain COMMAND --help         flags of a command, with an example\n"
      "  cltrain --help [PREFIX]        this text; only options below PREFIX\n"
      "  cltrain --version\n\nCommands:\n";
  for (const CommandRow& row : command_table())
    text += "  " + row.name + std::string(row.name.size() < 12 ? 12 - row.name.size() : 1, ' ') +
            row.summary + "\n";
  return text +
         "\nA config is looked up in the working directory, then among the shipped configs. Later "
         "settings\nwin: defaults, then the files of its `defaults:` list, the file itself, "
         "key=value.\n\n"
         "Exit codes: 0 done; 2 mistake in config or command line; 3 data missing or damaged; 4 "
         "run\n"
         "directory of another run; 5 no sound checkpoint; 70 loss or gradient not finite; 71 a "
         "rank is\nlost or hangs; 74 cannot write; 75 stopped with a checkpoint, run me again.\n\n";
}

std::string usage(const CommandRow& row) {
  const std::unique_ptr<Command> command = row.make();
  OptionTable flags;
  command->describe(flags);
  std::string text = "cltrain " + row.name + ": " + row.summary + "\n\n  cltrain " + row.name +
                     (row.usage.empty() ? "" : " " + row.usage) + "\n";
  if (!flags.options().empty()) text += "\nFlags:\n" + options_help(flags);
  text += "\nExample:\n  " + row.example + "\n";
  if (row.takes_options)
    text += "\nkey=value sets an option of the run: cltrain --help lists them.\n";
  return text;
}

}  // namespace cltrain
