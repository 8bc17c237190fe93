#include "train/files.h"

#include <fstream>
#include <vector>

namespace cltrain {

std::string read_file(const std::filesystem::path& path) {
  // Not by `stream << file.rdbuf()`: a failing read would end the text early and say nothing.
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::vector<char> buffer(1 << 16);
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    text.append(buffer.data(), static_cast<size_t>(file.gcount()));
  }
  if (!file.eof() || file.bad()) throw std::runtime_error("cannot read " + path.string());
  return text;
}

}  // namespace cltrain
