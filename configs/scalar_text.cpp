#include "configs/scalar_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

namespace cltrain {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// Words that some YAML reader takes for a bool or null.
bool is_reserved_word(std::string_view text) {
  constexpr std::array<std::string_view, 9> kReserved = {"null", "true", "false", "yes", "no",
                                                         "on",   "off",  "y",     "n"};
  return std::find(kReserved.begin(), kReserved.end(), lower(text)) != kReserved.end();
}

// The text without underscores and without a leading plus, or nothing where they are misplaced.
std::optional<std::string> digits_without_separators(std::string_view text) {
  if (!text.empty() && text.front() == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text.front() == '-') return std::nullopt;
  }
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      digits += text[i];
    } else if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) {
      return std::nullopt;
    }
  }
  return digits;
}

bool has_leading_zero(std::string_view digits) {
  if (!digits.empty() && digits.front() == '-') digits.remove_prefix(1);
  return digits.size() > 1 && digits[0] == '0' && is_digit(digits[1]);
}

constexpr const char* kLeadingZero =
    "starts with 0, which some readers take for octal: leave the 0 out";

std::string in_double_quotes(std::string_view text) {
  std::string result = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (c == '\r') {
      result += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr char kHex[] = "0123456789ABCDEF";
      result += "\\x";
      result += kHex[byte >> 4];
      result += kHex[byte & 15];
    } else {
      result += c;
    }
  }
  return result + '"';
}

bool is_plain_everywhere(std::string_view text) {
  const bool path_start = text.starts_with("./") || text.starts_with("../");
  if (text.empty() || is_reserved_word(text)) return false;
  if (!path_start && !std::isalpha(static_cast<unsigned char>(text[0])) && text[0] != '_' &&
      text[0] != '/') {
    return false;
  }
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c < 0x80 &&
           (std::isalnum(c) || c == '_' || c == '/' || c == '.' || c == '-' || c == '+');
  });
}

// Bytes of the UTF-8 character that `lead` starts, 0 if it starts none.
size_t utf8_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

// Overlong forms, surrogates and code points past U+10FFFF show in the second byte.
bool second_byte_allowed(unsigned char lead, unsigned char second) {
  if (lead == 0xe0) return second >= 0xa0;
  if (lead == 0xed) return second < 0xa0;
  if (lead == 0xf0) return second >= 0x90;
  if (lead == 0xf4) return second < 0x90;
  return true;
}

}  // namespace

std::string read_bool(std::string_view text, bool& value) {
  if (text == "true" || text == "false") {
    value = text == "true";
    return "";
  }
  const std::string word = lower(text);
  if (is_reserved_word(word) && word != "null") return "is spelt another way: use true or false";
  return "is not true or false";
}

std::string read_int(std::string_view text, int64_t& value) {
  const std::optional<std::string> digits = digits_without_separators(text);
  if (!digits || digits->empty()) return "is not a whole number";
  int64_t number = 0;
  const char* end = digits->data() + digits->size();
  const auto [stop, error] = std::from_chars(digits->data(), end, number);
  if (stop != end || error == std::errc::invalid_argument) return "is not a whole number";
  if (error == std::errc::result_out_of_range) return "does not fit into 64 bits";
  if (has_leading_zero(*digits)) return kLeadingZero;
  value = number;
  return "";
}

std::string read_float(std::string_view text, double& value) {
  const std::optional<std::string> digits = digits_without_separators(text);
  if (!digits || digits->empty()) return "is not a number";
  // from_chars reads inf and nan as well, YAML writes them .inf and .nan; no option means them.
  const std::string word = lower(*digits);
  if (word.find("inf") != std::string::npos || word.find("nan") != std::string::npos) {
    return "is not a finite number";
  }
  double number = 0;
  const char* end = digits->data() + digits->size();
  const auto [stop, error] = std::from_chars(digits->data(), end, number);
  if (stop != end || error == std::errc::invalid_argument) return "is not a number";
  if (error == std::errc::result_out_of_range) return "does not fit into a 64-bit float";
  if (has_leading_zero(*digits)) return kLeadingZero;
  value = number;
  return "";
}

std::string write_float(double value) {
  std::array<char, 32> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return std::string(buffer.data(), result.ptr);
}

std::string write_string(std::string_view text) {
  return is_plain_everywhere(text) ? std::string(text) : in_double_quotes(text);
}

std::string quote_for_message(std::string_view text) {
  constexpr size_t kLongest = 60;
  if (text.size() <= kLongest) return in_double_quotes(text);
  size_t cut = kLongest;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  return in_double_quotes(text.substr(0, cut)) + "...";
}

std::string escape_interpolation(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '{' && i > 0 && text[i - 1] == '$') result += '$';
    result += text[i];
  }
  return result;
}

size_t first_non_text(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if ((lead < 0x20 && lead != '\t' && lead != '\n' && lead != '\r') || lead == 0x7f) return i;
    const size_t length = utf8_length(lead);
    if (length == 0 || i + length > text.size()) return i;
    for (size_t k = 1; k < length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if ((byte & 0xc0) != 0x80 || (k == 1 && !second_byte_allowed(lead, byte))) return i;
    }
    i += length;
  }
  return std::string_view::npos;
}

}  // namespace cltrain
