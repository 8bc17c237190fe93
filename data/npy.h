// NumPy's .npy files (numpy/lib/format.py). The readers are strict: versions 1 and 2, C order,
// little endian, plain numbers. The writer's bytes are those of numpy.save, version 1.
//
// Any thread. Reading throws DataError that names the file and what was expected; writing throws
// IoError (data/durable_file.h) naming the file, std::invalid_argument for an unknown type and
// std::logic_error for rows that do not add up.
#pragma once

#include "data/durable_file.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace cltrain {

struct NpyArray {
  std::string type;            ///< "<i8", "<i4", "<f4", "<f8" or "|u1"
  std::vector<int64_t> shape;  ///< every extent >= 0
  std::vector<uint8_t> bytes;  ///< exactly the elements, row-major
};

/// Files of more than 2 GiB are refused.
NpyArray read_npy(const std::filesystem::path& path);

/// A one-dimensional list of int64 or int32.
std::vector<int64_t> read_npy_integers(const std::filesystem::path& path);

/// Reads an array of any size front to back.
class NpyStream {
 public:
  explicit NpyStream(const std::filesystem::path& path);
  const std::string& type() const { return type_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  /// The next `bytes` bytes of the elements.
  void read(void* to, uint64_t bytes);

 private:
  std::filesystem::path path_;
  std::ifstream file_;
  std::string type_;
  std::vector<int64_t> shape_;
};

/// Writes an array piece by piece; it appears under its name when it is whole.
class NpyWriter {
 public:
  NpyWriter(const std::filesystem::path& path, const std::string& type,
            const std::vector<int64_t>& shape);
  void append(const void* data, uint64_t bytes);
  /// Call once, last; the elements must be complete.
  void commit();

 private:
  DurableFile file_;
  std::string name_;
  uint64_t missing_;  // bytes
};

}  // namespace cltrain
