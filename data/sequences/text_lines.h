// The lines of a text file, numbered, for the readers of this folder: the whole file is read at
// once, and lines and fields are views of it.
//
// Lines end with \n or \r\n; the last may lack its end. Lines with nothing but spaces and tabs are
// passed over, and counted. Not thread-safe; each reading has its own. Throws DataError.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

class TextLines {
 public:
  /// Reads the file; at most 64 GiB.
  explicit TextLines(const std::filesystem::path& path);

  /// The next line that is not blank, without its end; false after the last. Views remain valid as
  /// long as this object.
  bool next(std::string_view& line);
  /// The number of the line that next() gave last, from 1.
  int64_t number() const { return number_; }
  /// Throws DataError "path:line: what", of the line that next() gave last or of another.
  [[noreturn]] void refuse(const std::string& what) const { refuse(number_, what); }
  [[noreturn]] void refuse(int64_t line, const std::string& what) const;

 private:
  std::filesystem::path path_;
  std::vector<uint8_t> bytes_;
  size_t at_ = 0;
  int64_t number_ = 0;
};

/// Takes the first field, up to a space or tab, off `line`; none when nothing is left.
std::optional<std::string_view> take_field(std::string_view& line);

/// A field as it stands in a message: quoted, control characters escaped, cut where it is long.
std::string quoted(std::string_view field);

}  // namespace cltrain
