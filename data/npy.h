// A strict reader of NumPy's .npy files, versions 1 and 2 (numpy/lib/format.py): C order, little
// endian, plain numbers. Any thread. Throws DataError that names the file and what was expected.
#pragma once

#include <cstdint>
#include <filesystem>
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

}  // namespace cltrain
