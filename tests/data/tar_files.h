// Writes tar files of any kind, sound or damaged, for the tests of shards.
#pragma once

#include "test_files.h"

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

namespace cltrain::testing {

inline Bytes bytes_of(const std::string& text) {
  return Bytes(text.begin(), text.end());
}

/// Builds the bytes of a tar, member after member.
class TarWriter {
 public:
  enum class Magic { kNone, kPosix, kGnu };
  explicit TarWriter(Magic magic = Magic::kPosix) : magic_(magic) {}

  /// `size_field`: 12 bytes for the size, or "" for the octal one.
  void add(const std::string& name, const Bytes& data, char type = '0',
           const std::string& size_field = "", const std::string& prefix = "") {
    Bytes header(512);
    put(header, 0, name.substr(0, 100));
    put(header, 100, "0000644");
    put(header, 108, "0000000");
    put(header, 116, "0000000");
    put(header, 124, size_field.empty() ? octal(data.size(), 11) : size_field);
    put(header, 136, octal(0, 11));
    header[156] = static_cast<uint8_t>(type);
    if (magic_ == Magic::kPosix)
      put(header, 257,
          std::string("ustar\0"
                      "00",
                      8));
    if (magic_ == Magic::kGnu) put(header, 257, "ustar  ");
    put(header, 345, prefix);
    put(header, 148, "        ");
    uint64_t sum = 0;
    for (const uint8_t byte : header) sum += byte;
    put(header, 148, octal(sum, 6) + std::string("\0 ", 2));
    bytes.insert(bytes.end(), header.begin(), header.end());
    bytes.insert(bytes.end(), data.begin(), data.end());
    bytes.resize((bytes.size() + 511) / 512 * 512);
  }
  void add(const std::string& name, const std::string& data, char type = '0') {
    add(name, bytes_of(data), type);
  }
  void add_pax(const std::string& key, const std::string& value, char type = 'x') {
    size_t length = key.size() + value.size() + 3;
    while (std::to_string(length).size() + key.size() + value.size() + 3 != length)
      length = std::to_string(length).size() + key.size() + value.size() + 3;
    add("pax", std::to_string(length) + " " + key + "=" + value + "\n", type);
  }
  void end() { bytes.resize(bytes.size() + 1024); }

  Bytes bytes;

  static std::string octal(uint64_t value, int digits) {
    char text[32];
    std::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(value));
    return text;
  }
  /// GNU's way to write large sizes.
  static std::string base256(uint64_t value) {
    std::string field(12, '\0');
    field[0] = '\x80';
    for (size_t at = 11; at > 3; --at, value >>= 8) field[at] = static_cast<char>(value & 255);
    return field;
  }

 private:
  static void put(Bytes& header, size_t at, const std::string& text) {
    std::copy(text.begin(), text.end(), header.begin() + static_cast<int64_t>(at));
  }
  Magic magic_;
};

}  // namespace cltrain::testing
