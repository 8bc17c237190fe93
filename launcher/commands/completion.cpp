// cltrain completion bash | zsh: scripts that complete commands, flags, option names and their
// values, all from the tables that the program itself parses with.
#include "configs/mistakes.h"
#include "dist/exit_codes.h"
#include "launcher/build_info.h"
#include "launcher/commands/commands.h"
#include "launcher/options.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::vector<std::string> values_of(const Option& option) {
  if (option.type_name() == "bool") return {"true", "false"};
  return option.spec().choices;
}

/// `    NAME) values='a b' ;;` for each option with a closed set of values.
std::string value_cases(const OptionTable& table) {
  std::string text;
  for (const Option& option : table.options())
    if (const auto values = values_of(option); !values.empty() && !option.is_list())
      text += "    " + option.name() + ") values='" + joined(values) + "' ;;\n";
  return text;
}

std::string shipped_configs() {
  std::set<std::string> names;
  std::error_code error;
  for (const fs::path& folder : config_folders())
    for (const auto& entry : fs::directory_iterator(folder, error))
      if (entry.path().extension() == ".yaml") names.insert(entry.path().filename().string());
  return joined({names.begin(), names.end()});
}

/// What the scripts are made of.
struct Words {
  std::string commands, keys, with_options;
  std::string flag_cases;   ///< `    eval) flags='--run ...' ;;`
  std::string flag_values;  ///< `    eval:--split) values='train test' ;;`
  std::string switches;     ///< `    eval:--untrained) prev= ;;`
  std::string key_values;
  std::string configs = shipped_configs();
};

Words collect() {
  Words words;
  std::vector<std::string> commands, with_options, keys;
  for (const CommandRow& row : command_table()) {
    commands.push_back(row.name);
    if (row.takes_options) with_options.push_back(row.name);
    const std::unique_ptr<Command> command = row.make();
    OptionTable flags;
    command->describe(flags);
    std::vector<std::string> names;
    for (const Option& flag : flags.options()) {
      names.push_back(flag.name());
      if (flag.type_name() == "bool")
        words.switches += "    " + row.name + ":" + flag.name() + ") prev= ;;\n";
      if (const auto values = values_of(flag); !values.empty() && flag.type_name() != "bool")
        words.flag_values +=
            "    " + row.name + ":" + flag.name() + ") values='" + joined(values) + "' ;;\n";
    }
    names.emplace_back("--help");
    words.flag_cases += "    " + row.name + ") flags='" + joined(names) + "' ;;\n";
  }
  const DescribedOptions described;
  for (const Option& option : described.table.options()) keys.push_back(option.name() + "=");
  words.commands = joined(commands);
  words.with_options = joined(with_options);
  words.keys = joined(keys);
  words.key_values = value_cases(described.table);
  return words;
}

// bash cuts words at "=", so the current word is taken from the line itself, and only what follows
// the last "=" is offered.
std::string bash_script(const Words& w) {
  return "# cltrain completion for bash:  source <(cltrain completion bash)\n"
         "_cltrain() {\n"
         "  local line=${COMP_LINE:0:COMP_POINT} cur prev command=train flags= values= word\n"
         "  local -a before\n"
         "  cur=${line##*[[:space:]]}\n"
         "  read -r -a before <<<\"${line%\"$cur\"}\"\n"
         "  prev=${before[-1]}\n"
         "  for word in " +
         w.commands +
         "; do\n"
         "    [[ ${before[1]} == \"$word\" ]] && command=$word\n"
         "  done\n"
         "  case $command in\n" +
         w.flag_cases +
         "  esac\n"
         "  COMPREPLY=()\n"
         "  case $command:$prev in\n" +
         w.flag_values + w.switches +
         "  esac\n"
         "  if [[ -n $values ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$values\" -- \"$cur\")); return\n"
         "  fi\n"
         "  if [[ $prev == --config ]]; then\n"
         "    COMPREPLY=($(compgen -W '" +
         w.configs +
         "' -- \"$cur\") $(compgen -f -X '!*.yaml' -- \"$cur\")); return\n"
         "  fi\n"
         "  if [[ $prev == --run ]]; then\n"
         "    COMPREPLY=($(compgen -d -- \"$cur\")); return\n"
         "  fi\n"
         "  if [[ $prev == --* ]]; then\n"
         "    COMPREPLY=($(compgen -f -- \"$cur\")); return\n"
         "  fi\n"
         "  if [[ $cur == --* ]]; then\n"
         "    COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")); return\n"
         "  fi\n"
         "  if [[ $cur == *=* ]]; then\n"
         "    case ${cur%%=*} in\n" +
         w.key_values +
         "    esac\n"
         "    COMPREPLY=($(compgen -W \"$values\" -- \"${cur#*=}\")); return\n"
         "  fi\n"
         "  if [[ ${#before[@]} -eq 1 ]]; then\n"
         "    COMPREPLY=($(compgen -W '" +
         w.commands +
         " --config --help --version' -- \"$cur\"))\n"
         "  elif [[ $command == completion ]]; then\n"
         "    COMPREPLY=($(compgen -W 'bash zsh' -- \"$cur\"))\n"
         "  elif [[ $command == plot ]]; then\n"
         "    COMPREPLY=($(compgen -d -- \"$cur\"))\n"
         "  fi\n"
         "  if [[ ' " +
         w.with_options +
         " ' == *\" $command \"* && -n $cur ]]; then\n"
         "    COMPREPLY+=($(compgen -W '" +
         w.keys +
         "' -- \"$cur\"))\n"
         "    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null\n"
         "  fi\n"
         "}\n"
         "complete -F _cltrain cltrain\n";
}

std::string zsh_script(const Words& w) {
  return "#compdef cltrain\n"
         "# cltrain completion for zsh:  source <(cltrain completion zsh), after compinit\n"
         "_cltrain() {\n"
         "  local command=train flags values cur=$words[CURRENT] prev=$words[CURRENT-1]\n"
         "  local -a commands=(" +
         w.commands +
         ")\n"
         "  (( CURRENT > 2 && $commands[(Ie)$words[2]] )) && command=$words[2]\n"
         "  case $command in\n" +
         w.flag_cases +
         "  esac\n"
         "  case $command:$prev in\n" +
         w.flag_values + w.switches +
         "  esac\n"
         "  if [[ -n $values ]]; then compadd -- ${=values}; return; fi\n"
         "  if [[ $prev == --config ]]; then\n"
         "    compadd -- " +
         w.configs +
         "; _files -g '*.yaml'; return\n"
         "  fi\n"
         "  if [[ $prev == --* ]]; then _files; return; fi\n"
         "  if [[ $cur == --* ]]; then compadd -- ${=flags}; return; fi\n"
         "  if [[ $cur == *=* ]]; then\n"
         "    case ${cur%%=*} in\n" +
         w.key_values +
         "    esac\n"
         "    compset -P '*='; compadd -- ${=values}; return\n"
         "  fi\n"
         "  (( CURRENT == 2 )) && compadd -- $commands --config --help --version\n"
         "  [[ $command == completion ]] && compadd -- bash zsh\n"
         "  [[ $command == plot ]] && _files -/\n"
         "  [[ ' " +
         w.with_options + " ' == *\" $command \"* ]] && compadd -S '' -- " + w.keys +
         "\n"
         "}\n"
         "(( $+functions[compdef] )) && compdef _cltrain cltrain\n";
}

class CompletionCommand : public Command {
 public:
  int run(const Invocation& invocation) override {
    if (invocation.words.size() != 1 ||
        (invocation.words[0] != "bash" && invocation.words[0] != "zsh"))
      throw ConfigError(
          "cltrain completion takes one word, bash or zsh; for example: source "
          "<(cltrain completion bash)");
    const Words words = collect();
    const std::string script =
        invocation.words[0] == "bash" ? bash_script(words) : zsh_script(words);
    std::fputs(script.c_str(), stdout);
    return kDone;
  }
};

}  // namespace

std::unique_ptr<Command> make_completion_command() {
  return std::make_unique<CompletionCommand>();
}

}  // namespace cltrain
