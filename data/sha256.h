// SHA-256 (FIPS 180-4, by OpenSSL) of bytes and of files: 64 lower-case hexadecimal digits. Any
// thread, one a Sha256.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace cltrain {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(const void* data, size_t bytes);
  void add(const std::string& text) { add(text.data(), text.size()); }
  std::string hex();  ///< call once, last

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// Throws DataError naming a file that cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace cltrain
