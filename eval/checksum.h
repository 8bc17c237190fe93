// SHA-256 of a file (FIPS 180-4, by OpenSSL): 64 lower-case hexadecimal digits. Any thread. Throws
// DataError naming a file that cannot be read.
#pragma once

#include <filesystem>
#include <string>

namespace cltrain {

std::string checksum_of_file(const std::filesystem::path& path);

}  // namespace cltrain
