// The typed table of options. Every room declares its options as a plain struct and one
// `describe(OptionTable&, Struct&)`; that table is the only declaration of an option. Reading YAML,
// `key=value` overrides, --help, the start-up print and the checkpoint's copy all walk it.
//
// A default must itself be allowed (a printed config can then always be read back), and no option
// is a section of another: both are programming errors, std::logic_error when described.
//
// Called before MPI and torch do any work, on every rank, single-threaded. Holds references to the
// described structs: they must outlive the table. Default values are those the structs hold when
// they are described.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cltrain {

/// What one option means and which values it takes.
struct OptionSpec {
  std::string doc;                 ///< one sentence, no full stop
  std::string unit = "";           ///< "samples", "steps", "seconds", ... or empty
  std::optional<double> min = {};  ///< smallest allowed number (inclusive); for lists: of each item
  std::optional<double> max = {};  ///< largest allowed number (inclusive)
  bool above_min = false;          ///< true: the value must be > min rather than >= min
  std::vector<std::string> choices = {};  ///< allowed strings; empty: any
  bool one_for_all = false;     ///< lists: a single number is allowed, and means a list of it alone
  bool safe_to_change = false;  ///< true: may differ when a run is resumed
};

/// One declared option, bound to the field of a struct.
class Option {
 public:
  using Target = std::variant<bool*, int64_t*, double*, std::string*, std::vector<double>*,
                              std::vector<int64_t>*, std::vector<std::string>*>;

  Option(std::string name, Target target, OptionSpec spec);

  const std::string& name() const { return name_; }
  const OptionSpec& spec() const { return spec_; }
  /// "bool", "int", "float", "string", "list of float", "list of int" or "list of string"; "float
  /// or list" and the like where one value may stand for all.
  std::string type_name() const;
  /// What is allowed, for people: "a whole number >= 1", "one of sgd, lars, adamw", ...
  std::string allowed() const;
  /// The current value of the bound field, written as YAML flow text with `${` escaped: a config
  /// that holds this text reads back as exactly this value. Of one_for_all, a list of one value is
  /// written as that value.
  std::string format() const;
  const std::string& default_text() const { return default_text_; }
  bool is_list() const;
  bool is_string() const;
  /// Assigns a scalar (already unquoted text). Returns "" or what is wrong with the value, e.g.
  /// "is not a whole number". Leaves the field untouched on failure. Numbers: decimal only
  /// (`010` is refused, not 8), `1_000` allowed, inf and nan refused; bool: true or false only.
  std::string assign(std::string_view text);
  /// Assigns a list; the same contract.
  std::string assign(const std::vector<std::string>& items);

 private:
  std::string name_;
  Target target_;
  OptionSpec spec_;
  std::string default_text_;
};

/// The options of one program, in declaration order. Names are dotted: "train.global_batch"; the
/// flags of a sub-command, which has a table of its own, are "--run".
class OptionTable {
 public:
  /// Declares an option bound to `field`. A name declared twice is a programming error (throws
  /// std::logic_error).
  void add(std::string name, bool& field, OptionSpec spec);
  void add(std::string name, int64_t& field, OptionSpec spec);
  void add(std::string name, double& field, OptionSpec spec);
  void add(std::string name, std::string& field, OptionSpec spec);
  void add(std::string name, std::vector<double>& field, OptionSpec spec);
  void add(std::string name, std::vector<int64_t>& field, OptionSpec spec);
  void add(std::string name, std::vector<std::string>& field, OptionSpec spec);

  const std::vector<Option>& options() const { return options_; }
  /// nullptr where there is none.
  Option* find(std::string_view name);
  const Option* find(std::string_view name) const;
  /// True if there are options "name.something".
  bool is_section(std::string_view name) const;
  /// The declared name closest to `name` (Damerau-Levenshtein <= 2, else the same last part, else a
  /// prefix, else nearly the same last part), or "" when nothing is near.
  std::string nearest(std::string_view name) const;

 private:
  void insert(Option option);
  std::vector<Option> options_;
  std::map<std::string, size_t, std::less<>> by_name_;
};

}  // namespace cltrain
