// Where a value of a config comes from, and the list of everything that is wrong with a config. The
// reading of a config never stops at the first mistake: it adds to the list and goes on, and the
// list is thrown as one ConfigError at the end. One thread, one list a call of load_config.
#pragma once

#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

/// All mistakes of a config, one a line: `file:line:column: key: what is wrong; allowed: ...`.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A position in a file, an argument of the command line, or the default of an option.
struct Place {
  static constexpr int kCommandLine = 1 << 30;  ///< `order` of the command line: after all files

  std::string source;  ///< the file's name as it was looked up, "command line" or "default"
  int order = 0;       ///< files are numbered as they are read; mistakes are sorted by it
  int line = 0;        ///< from 1; on the command line: the number of the argument
  int column = 0;      ///< from 1, in characters; 0: the place has no column

  /// "file:line:column", or the source alone where there is no column.
  std::string text() const;
};

class Mistakes {
 public:
  /// Adds "place: key: what". `key` may be empty. The same mistake twice is kept once.
  void add(const Place& place, std::string_view key, std::string_view what);
  bool empty() const { return mistakes_.empty(); }
  /// Throws a ConfigError of all mistakes, in the order of files, lines and arguments, if any. Past
  /// the first 100 it gives their number.
  void throw_if_any() const;

 private:
  struct Mistake {
    Place place;
    std::string text;
  };
  std::vector<Mistake> mistakes_;
  std::set<std::string> texts_;
};

}  // namespace cltrain
