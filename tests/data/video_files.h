// Videos for the tests of the data room, made by the ffmpeg program, and what that program itself
// decodes of them.
#pragma once

#include "test_files.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace cltrain::testing {

/// Runs a command of the shell that must succeed.
inline void shell(const std::string& command) {
  if (std::system(command.c_str()) != 0)
    throw std::runtime_error("failed (is ffmpeg installed?): " + command);
}

inline std::string quoted(const std::filesystem::path& path) {
  return "'" + path.string() + "'";
}

/// Half a minute of moving test picture is at hand; `arguments` say how much of it, and how it is
/// written: "-t 1 -c:v mpeg4".
inline void make_video(const std::filesystem::path& path, const std::string& arguments,
                       const std::string& source = "testsrc2=size=96x64:rate=30") {
  std::filesystem::create_directories(path.parent_path());
  shell("ffmpeg -nostdin -v error -y -f lavfi -i '" + source + "' " + arguments + " " +
        quoted(path) + " 2>/dev/null");
}

/// What ffmpeg writes of a video's frames as raw bytes of a pixel format; `options` may hold
/// filters.
inline Bytes dumped(const std::filesystem::path& path, const std::string& pixels,
                    const std::string& options) {
  TemporaryFolder folder;
  const auto out = folder / "frames.raw";
  shell("ffmpeg -nostdin -v error -fflags +genpts -flags bitexact -i " + quoted(path) +
        " -map 0:v:0 -vsync passthrough " + options + " -pix_fmt " + pixels + " -f rawvideo " +
        quoted(out));
  return read(out);
}

/// How planar YUV is stored, and what it means.
struct Planar {
  const char* pixels;            ///< ffmpeg's name; nullptr: no planar YUV, ffmpeg converts to RGB
  int64_t across = 2, down = 2;  ///< pixels a chroma sample
  bool between_columns = false;  ///< a chroma sample lies between two, not on the left one
  bool full_range = false;
  bool between_rows = true;  ///< the same of the upper one
  double red = 0.299, blue = 0.114;
};

/// One frame as RGB, by the formula in real numbers.
inline Bytes rgb_of(const uint8_t* planes, int64_t height, int64_t width, const Planar& format) {
  const int64_t rows = (height + format.down - 1) / format.down;
  const int64_t columns = (width + format.across - 1) / format.across;
  const auto chroma = [&](const uint8_t* plane, int64_t y, int64_t x) {
    double down = static_cast<double>(y), across = static_cast<double>(x);
    if (format.down == 2) down = (down - (format.between_rows ? 0.5 : 0)) / 2;
    if (format.across == 2) across = (across - (format.between_columns ? 0.5 : 0)) / 2;
    down = std::clamp(down, 0.0, static_cast<double>(rows - 1));
    across = std::clamp(across, 0.0, static_cast<double>(columns - 1));
    const auto top = static_cast<int64_t>(down), left = static_cast<int64_t>(across);
    const int64_t bottom = std::min(top + 1, rows - 1), right = std::min(left + 1, columns - 1);
    const double lower = down - static_cast<double>(top),
                 later = across - static_cast<double>(left);
    const auto at = [&](int64_t row, int64_t column) { return plane[row * columns + column]; };
    return (1 - lower) * ((1 - later) * at(top, left) + later * at(top, right)) +
           lower * ((1 - later) * at(bottom, left) + later * at(bottom, right)) - 128;
  };
  const uint8_t* const u = planes + height * width;
  const double green = 1 - format.red - format.blue;
  Bytes rgb;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const double scale = format.full_range ? 1 : 255.0 / 224;
      const double luma =
          format.full_range ? planes[y * width + x] : (planes[y * width + x] - 16) * 255.0 / 219;
      const double b = luma + 2 * (1 - format.blue) * scale * chroma(u, y, x);
      const double r = luma + 2 * (1 - format.red) * scale * chroma(u + rows * columns, y, x);
      const double g = (luma - format.red * r - format.blue * b) / green;
      for (const double value : {r, g, b})
        rgb.push_back(static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0))));
    }
  return rgb;
}

/// Every frame as ffmpeg decodes it, [height, width, 3] each.
inline std::vector<Bytes> decoded_frames(const std::filesystem::path& path, int64_t height,
                                         int64_t width, const Planar& format,
                                         const std::string& filters = "") {
  const std::string pass = filters.empty() ? "" : "-vf " + filters;
  const Bytes raw =
      format.pixels
          ? dumped(path, format.pixels, pass)
          : dumped(path, "rgb24",
                   "-vf scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact");
  const int64_t chroma =
      ((height + format.down - 1) / format.down) * ((width + format.across - 1) / format.across);
  const int64_t bytes = format.pixels ? height * width + 2 * chroma : 3 * height * width;
  std::vector<Bytes> frames;
  for (int64_t at = 0; at + bytes <= static_cast<int64_t>(raw.size()); at += bytes)
    frames.push_back(format.pixels ? rgb_of(raw.data() + at, height, width, format)
                                   : Bytes(raw.begin() + at, raw.begin() + at + bytes));
  return frames;
}

/// In levels; 256 for pictures of other sizes.
inline int largest_difference(const Bytes& left, const Bytes& right) {
  if (left.size() != right.size()) return 256;
  int largest = 0;
  for (size_t at = 0; at < left.size(); ++at)
    largest = std::max(largest, std::abs(int{left[at]} - int{right[at]}));
  return largest;
}

/// Time stamps of its frames, in ticks of the stream, in order of presentation.
inline std::vector<int64_t> probed_times(const std::filesystem::path& path) {
  TemporaryFolder folder;
  const auto out = folder / "times";
  shell(
      "ffprobe -v error -fflags +genpts -select_streams v:0 -show_entries "
      "frame=best_effort_timestamp -of "
      "csv=p=0 " +
      quoted(path) + " >" + quoted(out));
  const Bytes text = read(out);
  std::istringstream lines(std::string(text.begin(), text.end()));
  std::vector<int64_t> times;
  for (std::string line; std::getline(lines, line);)
    if (std::isdigit(static_cast<unsigned char>(line[0])) || line[0] == '-')
      times.push_back(std::stoll(line));
  return times;
}

/// Turns an mp4's display matrix, which says identity, into [a b; c d] of ones, zeros and -1.
inline void set_display_matrix(const std::filesystem::path& path, int a, int b, int c, int d) {
  Bytes bytes = read(path);
  const Bytes identity = {0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0};
  // The file's own matrix comes first, then that of the track.
  auto at = std::search(bytes.begin(), bytes.end(), identity.begin(), identity.end());
  at = std::search(at + 1, bytes.end(), identity.begin(), identity.end());
  if (at == bytes.end()) throw std::runtime_error(path.string() + ": no display matrix found");
  const int values[] = {a, b, 0, c, d};
  for (const int value : values) {
    const auto fixed = static_cast<uint32_t>(value * 65536);
    for (int shift = 24; shift >= 0; shift -= 8) *at++ = static_cast<uint8_t>(fixed >> shift);
  }
  write(path, bytes);
}

}  // namespace cltrain::testing
