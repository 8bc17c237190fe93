// Scalars as text: how one bool, number or string of a config is read, and how it is written so
// that reading it back gives the same value. Free of YAML libraries; used by the option table and
// by the error messages. Pure functions, thread-safe.
//
// Reading is narrower than YAML 1.1 on purpose: `010` is octal 8 to some readers and decimal 10 to
// others, `no` is a bool to some and a word to others. Here both are refused with a reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cltrain {

/// Each returns "" and sets `value`, or returns what is wrong ("is not a whole number") and leaves
/// `value` untouched. Whole numbers: decimal, `1_000` allowed. Numbers: finite, `1e-3`, `.5`.
std::string read_bool(std::string_view text, bool& value);
std::string read_int(std::string_view text, int64_t& value);
std::string read_float(std::string_view text, double& value);

/// The shortest text that reads back as exactly `value`.
std::string write_float(double value);

/// `text` as a YAML scalar on one line: bare where every YAML reader takes it for this string, else
/// in double quotes with escapes.
std::string write_string(std::string_view text);

/// For messages: always in double quotes, on one line, cut to about 60 bytes.
std::string quote_for_message(std::string_view text);

/// `${` starts an interpolation in a config; a literal one is written `$${`. Of n > 1 dollars
/// before a brace, n - 1 are literal.
std::string escape_interpolation(std::string_view text);

/// The position of the first byte that is not UTF-8 text (control characters other than tab,
/// newline and carriage return count as not text), or npos.
size_t first_non_text(std::string_view text);

}  // namespace cltrain
