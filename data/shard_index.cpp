#include "data/shard_index.h"

#include "data/dataset.h"
#include "data/files.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <exception>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_map>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr size_t kThreads = 8;  // opening is waiting for the disk or the network, not computing
constexpr uint64_t kLongestLabel = 32;

/// "./a//b" -> "a/b"; empty when a name on the path is hidden.
std::string tidy(std::string_view name) {
  std::string result;
  while (!name.empty()) {
    const size_t end = std::min(name.find('/'), name.size());
    const std::string_view part = name.substr(0, end);
    name.remove_prefix(std::min(end + 1, name.size()));
    if (part.empty() || part == ".") continue;
    if (part.starts_with('.')) return "";
    if (!result.empty()) result += '/';
    result += part;
  }
  return result;
}

std::string without_ending(const std::string& name) {
  return name.substr(0, name.rfind('.'));
}

int32_t read_label(const ShardFile& file, const TarMember& member) {
  std::string text(std::min(member.size, kLongestLabel + 1), '\0');
  file.read(member.offset, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  const auto blank = [](char letter) {
    return letter == ' ' || (letter >= '\t' && letter <= '\r');
  };
  const auto begin = std::find_if_not(text.begin(), text.end(), blank);
  const auto end = std::find_if_not(text.rbegin(), text.rend(), blank).base();
  int64_t label = -1;
  const char* last = begin < end ? &*begin + (end - begin) : nullptr;
  const auto parsed =
      last ? std::from_chars(&*begin, last, label) : std::from_chars_result{nullptr, std::errc{}};
  if (!last || text.size() > kLongestLabel || parsed.ec != std::errc{} || parsed.ptr != last ||
      label < 0 || label >= kMostClasses)
    throw DataError(file.path().string() + ": at byte " + std::to_string(member.offset) + ": " +
                    member.name + " is no label; allowed: a whole number, 0 to " +
                    std::to_string(kMostClasses - 1) + ", as text");
  return static_cast<int32_t>(label);
}

/// Collects what walk_tar finds in one shard.
class Collector {
 public:
  explicit Collector(const ShardFile& file) : file_(file) { index_.path = file.path(); }

  void take(const TarMember& member) {
    const std::string name = tidy(member.name);
    const bool image = has_image_ending(name), label = name.ends_with(".cls");
    if (!image && !label) return;
    if (member.type == '1' || member.type == '2')
      throw DataError(file_.path().string() + ": at byte " + std::to_string(member.header) + ": " +
                      member.name +
                      " is a link; write the tar with --dereference --hard-dereference");
    if (member.type != '0') return;
    if (label) {
      if (!labels_.emplace(without_ending(name), read_label(file_, member)).second)
        throw DataError(file_.path().string() + ": at byte " + std::to_string(member.header) +
                        ": " + member.name + " is there a second time");
      return;
    }
    index_.images.push_back({.offset = member.offset,
                             .size = member.size,
                             .name = index_.names.size(),
                             .folder = folder_of(name)});
    index_.names.append(name).push_back('\0');
  }

  /// Labels may lie before or behind their images, so they are joined at the end.
  ShardIndex finish() {
    if (!labels_.empty())
      for (ShardImage& image : index_.images) {
        const auto found = labels_.find(without_ending(index_.names.data() + image.name));
        if (found != labels_.end()) image.label = found->second;
      }
    index_.images.shrink_to_fit();
    index_.names.shrink_to_fit();
    return std::move(index_);
  }

 private:
  int32_t folder_of(const std::string& name) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos) return -1;
    const auto [place, added] = folders_.emplace(name.substr(0, slash), index_.folders.size());
    if (added) index_.folders.push_back(place->first);
    return static_cast<int32_t>(place->second);
  }

  const ShardFile& file_;
  ShardIndex index_;
  std::unordered_map<std::string, int32_t> labels_;  // by stem
  std::unordered_map<std::string, size_t> folders_;
};

ShardIndex index_shard(const fs::path& path) {
  try {
    const ShardFile file(path);
    Collector collector(file);
    walk_tar(file, [&](const TarMember& member) { collector.take(member); });
    return collector.finish();
  } catch (const std::system_error& error) {
    throw DataError(error.what());
  }
}

}  // namespace

std::vector<ShardIndex> index_shards(const std::vector<fs::path>& paths) {
  std::vector<ShardIndex> indices(paths.size());
  std::vector<std::exception_ptr> errors(paths.size());
  std::atomic<size_t> next = 0;
  std::atomic<bool> failed = false;
  // Shards are taken in order and each one taken is looked at, so the first damaged one is found
  // whatever the threads do.
  const auto work = [&] {
    while (!failed) {
      const size_t at = next++;
      if (at >= paths.size()) return;
      try {
        indices[at] = index_shard(paths[at]);
      } catch (...) {
        errors[at] = std::current_exception();
        failed = true;
      }
    }
  };
  std::vector<std::thread> threads;
  for (size_t thread = 1; thread < std::min(kThreads, paths.size()); ++thread)
    threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return indices;
}

}  // namespace cltrain
