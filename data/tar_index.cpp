#include "data/tar_index.h"

#include "data/dataset.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace cltrain {
namespace {

constexpr uint64_t kBlock = 512;
/// Of a long name or a pax header. Paths are far shorter; other records are not read.
constexpr uint64_t kLargestExtension = uint64_t{1} << 20;

using Block = std::array<uint8_t, kBlock>;

[[noreturn]] void damaged(const ShardFile& file, uint64_t at, const std::string& what) {
  throw DataError(file.path().string() + ": at byte " + std::to_string(at) + ": " + what);
}

/// Headers lie one to a few blocks apart where members are small: a page is read at once.
class HeaderReader {
 public:
  explicit HeaderReader(const ShardFile& file) : file_(file) {}
  Block block(uint64_t at) {
    if (at < begin_ || at + kBlock > begin_ + page_.size()) {
      page_.resize(std::min<uint64_t>(4096, file_.size() - at));
      file_.read(at, page_);
      begin_ = at;
    }
    Block block;
    std::copy_n(page_.begin() + static_cast<int64_t>(at - begin_), kBlock, block.begin());
    return block;
  }

 private:
  const ShardFile& file_;
  uint64_t begin_ = 0;
  std::vector<uint8_t> page_;
};

std::string text(const Block& header, size_t begin, size_t size) {
  const auto* start = reinterpret_cast<const char*>(header.data()) + begin;
  return {start, strnlen(start, size)};
}

/// A number field: octal digits between spaces and NULs, or base 256 when the highest bit is set.
/// Nothing for anything else, negative and larger than 63 bits included; blank is 0.
std::optional<uint64_t> number(const Block& header, size_t begin, size_t size) {
  const std::span<const uint8_t> field(header.data() + begin, size);
  uint64_t value = 0;
  if (field[0] & 0x80) {
    if (field[0] != 0x80) return std::nullopt;  // negative, or more than 88 bits
    for (const uint8_t byte : field.subspan(1)) {
      if (value >> 55) return std::nullopt;
      value = value << 8 | byte;
    }
    return value;
  }
  size_t at = 0;
  while (at < size && field[at] == ' ') ++at;
  for (; at < size && field[at] >= '0' && field[at] <= '7'; ++at)
    value = value * 8 + field[at] - '0';
  for (; at < size; ++at)
    if (field[at] != ' ' && field[at] != 0) return std::nullopt;
  return value;
}

bool checksum_is_right(const Block& header) {
  const std::optional<uint64_t> stated = number(header, 148, 8);
  uint64_t as_unsigned = 0;
  int64_t as_signed = 0;  // of some old writers
  for (size_t at = 0; at < kBlock; ++at) {
    const uint8_t byte = at >= 148 && at < 156 ? ' ' : header[at];
    as_unsigned += byte;
    as_signed += static_cast<int8_t>(byte);
  }
  return stated && (*stated == as_unsigned || static_cast<int64_t>(*stated) == as_signed);
}

void refuse_compressed(const ShardFile& file) {
  constexpr std::array<std::pair<std::string_view, const char*>, 5> kinds{
      {{"\x1f\x8b", "gzip"},
       {"\x28\xb5\x2f\xfd", "zstd"},
       {"\xfd"
        "7zXZ",
        "xz"},
       {"BZh", "bzip2"},
       {"\x04\x22\x4d\x18", "lz4"}}};
  std::string start(std::min<uint64_t>(8, file.size()), '\0');
  file.read(0, {reinterpret_cast<uint8_t*>(start.data()), start.size()});
  for (const auto& [magic, kind] : kinds)
    if (start.starts_with(magic))
      damaged(file, 0,
              std::string("compressed with ") + kind +
                  "; samples are read at any place, which only an uncompressed tar "
                  "allows: unpack it to a .tar");
}

void require_zeros_to_the_end(const ShardFile& file, uint64_t at) {
  std::vector<uint8_t> piece;
  for (; at < file.size(); at += piece.size()) {
    piece.resize(std::min<uint64_t>(1 << 16, file.size() - at));
    file.read(at, piece);
    const auto found = std::find_if(piece.begin(), piece.end(), [](uint8_t byte) { return byte; });
    if (found != piece.end())
      damaged(file, at + static_cast<uint64_t>(found - piece.begin()),
              "data behind the end-of-archive mark; of tars that were put together with cat only "
              "the first part would be read: keep them apart, or join them with tar --concatenate");
  }
}

/// What extended headers say of the member that follows them.
struct Extension {
  std::string long_name, path;  // of GNU and of pax; pax goes first
  std::optional<uint64_t> size;
};

uint64_t decimal(std::string_view digits, const ShardFile& file, uint64_t at, const char* what) {
  uint64_t value = 0;
  const bool plain = !digits.empty() && digits.size() <= 18 &&
                     std::all_of(digits.begin(), digits.end(),
                                 [](char digit) { return digit >= '0' && digit <= '9'; });
  if (!plain) damaged(file, at, std::string("a pax header whose ") + what + " is no number");
  for (const char digit : digits) value = value * 10 + static_cast<uint64_t>(digit - '0');
  return value;
}

/// Records "<length> <key>=<value>\n".
void read_pax(std::string_view records, const ShardFile& file, uint64_t at, bool global,
              Extension& extension) {
  while (!records.empty() && records[0] != '\0') {
    const size_t space = std::min(records.find(' '), records.size());
    const uint64_t length = decimal(records.substr(0, space), file, at, "record length");
    if (length <= space + 1 || length > records.size() || records[length - 1] != '\n')
      damaged(file, at, "a damaged pax header");
    const std::string_view record = records.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) damaged(file, at, "a damaged pax header");
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key.starts_with("GNU.sparse"))
      damaged(file, at, "a sparse member; write the tar without --sparse");
    if (key == "path" || key == "size") {
      if (global) damaged(file, at, "a global pax header that sets path or size of all members");
      if (key == "path")
        extension.path = value.substr(0, value.find('\0'));
      else if (!value.empty())
        extension.size = decimal(value, file, at, "size");
    }
    records.remove_prefix(length);
  }
}

std::string read_extension(const ShardFile& file, const TarMember& member) {
  if (member.size > kLargestExtension)
    damaged(file, member.header,
            "a long name or pax header of " + std::to_string(member.size) + " bytes, at most " +
                std::to_string(kLargestExtension) + " are allowed");
  std::string bytes(member.size, '\0');
  file.read(member.offset, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  return bytes;
}

std::string name_of(const Block& header, const Extension& extension) {
  if (!extension.path.empty()) return extension.path;
  if (!extension.long_name.empty()) return extension.long_name;
  const std::string name = text(header, 0, 100);
  // GNU's magic is "ustar " and puts other things where POSIX has the prefix.
  if (std::memcmp(header.data() + 257, "ustar", 6) != 0) return name;
  const std::string prefix = text(header, 345, 155);
  return prefix.empty() ? name : prefix + "/" + name;
}

/// The member whose header this is, with its bytes within the file.
TarMember parse(const ShardFile& file, uint64_t at, const Block& header,
                const Extension& extension) {
  if (!checksum_is_right(header))
    damaged(file, at,
            "no tar header (its checksum is wrong): the file is damaged or no tar; "
            "fetch or write it again");
  TarMember member{.name = name_of(header, extension),
                   .type = static_cast<char>(header[156]),
                   .header = at,
                   .offset = at + kBlock};
  if (member.type == '\0' || member.type == '7') member.type = '0';
  if (member.type == '0' && member.name.ends_with('/')) member.type = '5';  // V7's folders
  if (member.name.empty()) damaged(file, at, "a member without a name");
  if (member.type == 'S' || member.type == 'M')
    damaged(file, at,
            member.name +
                ": a sparse or multi-volume member; write the tar without "
                "--sparse and --multi-volume");
  const std::optional<uint64_t> stated = extension.size ? extension.size : number(header, 124, 12);
  if (!stated) damaged(file, at, member.name + ": its size is no number");
  const bool has_data = member.type < '1' || member.type > '6';
  member.size = has_data ? *stated : 0;
  if (member.size > file.size() - member.offset)
    damaged(file, at,
            member.name + ": " + std::to_string(member.size) + " bytes from byte " +
                std::to_string(member.offset) + " on, but the file ends at byte " +
                std::to_string(file.size()) + ": it is truncated or damaged");
  return member;
}

}  // namespace

ShardFile::ShardFile(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
    const int error = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    throw std::system_error(error, std::generic_category(), path_.string() + ": cannot be opened");
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw DataError(path_.string() + ": is not a regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
  // Headers and samples are wanted here and there: reading ahead would fetch what nobody asked for.
  ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_RANDOM);
}

ShardFile::~ShardFile() {
  ::close(descriptor_);
}

void ShardFile::read(uint64_t offset, std::span<uint8_t> bytes) const {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw std::system_error(
          errno, std::generic_category(),
          path_.string() + ": cannot be read at byte " + std::to_string(offset));
    if (count == 0)
      throw DataError(path_.string() + ": ends at byte " + std::to_string(offset) + ", it had " +
                      std::to_string(size_) + " bytes when it was opened");
    offset += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void walk_tar(const ShardFile& file, const std::function<void(const TarMember&)>& visit) {
  refuse_compressed(file);
  HeaderReader headers(file);
  Extension extension;
  for (uint64_t at = 0;;) {
    if (at > file.size() || file.size() - at < kBlock)
      damaged(file, std::min(at, file.size()),
              "the file ends without an end-of-archive mark: it is truncated; fetch or write it "
              "again");
    const Block header = headers.block(at);
    if (std::all_of(header.begin(), header.end(), [](uint8_t byte) { return byte == 0; }))
      return require_zeros_to_the_end(file, at + kBlock);
    const bool extends = std::strchr("LKxXg", header[156]) && header[156] != '\0';
    const TarMember member = parse(file, at, header, extends ? Extension{} : extension);
    if (member.type == 'L') {
      const std::string name = read_extension(file, member);
      extension.long_name = name.substr(0, name.find('\0'));
    } else if (member.type == 'x' || member.type == 'X' || member.type == 'g') {
      read_pax(read_extension(file, member), file, at, member.type == 'g', extension);
    } else if (!extends) {
      visit(member);
      extension = {};
    }
    at = member.offset + (member.size + kBlock - 1) / kBlock * kBlock;
  }
}

}  // namespace cltrain
