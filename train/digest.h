// SHA-256 (FIPS 180-4, by OpenSSL) of bytes, files and training state.
#pragma once

#include "models/method.h"

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace cltrain {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(const void* data, size_t bytes);
  void add(const std::string& text) { add(text.data(), text.size()); }
  std::string hex();  ///< 64 lower-case digits; call once, last

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// Throws std::runtime_error if the file cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

/// Over every counter and every tensor in name order: name, type, shape, bytes. Two runs with the
/// same state have the same digest; one bit of difference changes it.
std::string sha256_of_state(const std::vector<NamedTensor>& tensors,
                            const std::map<std::string, int64_t>& counters);

}  // namespace cltrain
