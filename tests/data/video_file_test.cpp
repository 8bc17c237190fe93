// Decoded frames against those that the ffmpeg program writes, every frame alone and in clips: the
// planes it decodes, converted by the formula in real numbers (within one level), or its RGB (the
// same).
#include "data/video_file.h"

#include "data/frame_times.h"
#include "ops/keyed_random.h"
#include "video_files.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Bytes;
using testing::largest_difference;
using testing::make_video;
using testing::Planar;
using testing::TemporaryFolder;

const std::shared_ptr<const Ffmpeg>& ffmpeg() {
  static const auto loaded = load_ffmpeg();
  return loaded;
}

Bytes bytes_of(const Picture& frame) {
  return {frame.pixels, frame.pixels + 3 * frame.height * frame.width};
}

std::vector<Bytes> frames_in(VideoFile& video, const std::vector<int64_t>& slots) {
  std::vector<Bytes> frames;
  video.read(slots, [&](size_t i, const Picture& frame) {
    EXPECT_EQ(i, frames.size());
    EXPECT_EQ(frame.height, video.height());
    EXPECT_EQ(frame.width, video.width());
    frames.push_back(bytes_of(frame));
  });
  EXPECT_EQ(frames.size(), slots.size());
  return frames;
}

std::vector<int64_t> every(int64_t count, int64_t stride = 1, int64_t first = 0) {
  std::vector<int64_t> slots;
  for (int64_t slot = first; slot < count; slot += stride) slots.push_back(slot);
  return slots;
}

/// The frame shown in each slot, by the definition in data/frame_times.h, counted out.
std::vector<size_t> expected_frames(const std::vector<int64_t>& times) {
  const int64_t last = times.back() - times.front();
  const auto periods = static_cast<int64_t>(times.size()) - 1;
  std::vector<size_t> shown;
  for (int64_t slot = 0; slot <= periods; ++slot) {
    size_t frame = 0;
    for (size_t at = 0; at < times.size(); ++at)
      if ((2 * (times[at] - times.front()) * periods + last) / (2 * last) <= slot) frame = at;
    shown.push_back(frame);
  }
  return shown;
}

/// Reads all slots in a row, with strides, and each one alone: always the frame of the dump.
void check_against_dump(const std::filesystem::path& path, int64_t expected_count,
                        const Planar& format) {
  VideoFile video(*ffmpeg(), path);
  const auto dump = testing::decoded_frames(path, video.height(), video.width(), format);
  const auto times = testing::probed_times(path);
  ASSERT_EQ(dump.size(), times.size());
  ASSERT_EQ(video.frames(), static_cast<int64_t>(times.size()));
  ASSERT_EQ(video.frames(), expected_count);
  const std::vector<size_t> shown = expected_frames(times);
  const int allowed = format.pixels ? 1 : 0;
  const auto check = [&](const std::vector<int64_t>& slots, const std::string& what) {
    const auto frames = frames_in(video, slots);
    for (size_t at = 0; at < slots.size(); ++at) {
      const size_t frame = shown[static_cast<size_t>(slots[at])];
      ASSERT_LE(largest_difference(frames[at], dump[frame]), allowed)
          << what << ": slot " << slots[at] << " is not frame " << frame;
    }
  };
  check(every(video.frames()), "all");
  check(every(video.frames(), 3, 1), "every third");
  check(every(video.frames(), 17, 5), "every 17th");
  check({7, 7, 8, 8, 8}, "again");
  for (int64_t slot = video.frames() - 1; slot >= 0; slot -= 4) check({slot}, "alone");
  // Wherever decoding starts, the bits are the same.
  const auto all = frames_in(video, every(video.frames()));
  for (int64_t slot = 0; slot < video.frames(); slot += 5)
    ASSERT_EQ(frames_in(video, {slot})[0], all[static_cast<size_t>(slot)]) << slot;
}

struct Written {
  const char* name;
  const char* arguments;
  int64_t frames;
  Planar format;
};

constexpr Planar k420{"yuv420p"}, k422{"yuv422p", 2, 1}, kTop{"yuv420p", 2, 2, false, false, false},
    kRgb{nullptr}, kJpeg{"yuvj420p", 2, 2, true, true},
    kSharp{"yuvj444p", 1, 1, false, true, true, 0.2126, 0.0722};

// A second or two of each, with what makes seeking hard: frames out of order, open groups of
// pictures, hidden frames, time stamps in milliseconds, no index.
const Written kWritten[] = {
    {"ordered.mp4", "-t 2 -c:v libx264 -bf 3 -g 12 -pix_fmt yuv420p", 60, k420},
    {"fast_start.mp4", "-t 1 -c:v libx264 -g 250 -pix_fmt yuv420p -movflags +faststart", 30, k420},
    {"fragments.mp4", "-t 1 -c:v libx264 -g 8 -pix_fmt yuv420p -movflags +frag_keyframe", 30, k420},
    {"open.mp4", "-t 2 -c:v libx264 -g 10 -bf 2 -x264opts open-gop=1 -pix_fmt yuv420p", 60, k420},
    {"refresh.mp4", "-t 2 -c:v libx264 -x264opts intra-refresh=1:keyint=15 -pix_fmt yuv420p", 60,
     k420},
    {"milliseconds.mkv", "-t 2 -c:v libx264 -bf 2 -g 15 -pix_fmt yuv422p", 60, k422},
    {"deep.mkv", "-t 1 -c:v libx265 -x265-params log-level=none:keyint=10 -pix_fmt yuv420p10le", 30,
     kRgb},
    {"top.mkv", "-t 1 -c:v libx265 -x265-params log-level=none:chromaloc=2 -pix_fmt yuv420p", 30,
     kTop},
    {"hidden.webm", "-t 2 -c:v libvpx -auto-alt-ref 1 -lag-in-frames 16 -g 20 -b:v 200k", 60, k420},
    {"nine.webm", "-t 1 -c:v libvpx-vp9 -auto-alt-ref 1 -lag-in-frames 16 -g 12 -b:v 200k", 30,
     k420},
    {"old.avi", "-t 2 -c:v mpeg4 -bf 2 -g 12", 60, k420},
    {"program.mpg", "-t 1 -c:v mpeg2video -bf 2 -g 9", 30, k420},
    {"transport.ts", "-t 1 -c:v libx264 -bf 2 -g 9 -pix_fmt yuv420p", 30, k420},
    {"stills.mov", "-t 1 -c:v mjpeg -q:v 3 -pix_fmt yuvj420p", 30, kJpeg},
    {"lossless.mkv", "-t 1 -c:v ffv1 -pix_fmt bgr0", 30, kRgb},
    {"odd.mkv", "-t 1 -vf scale=95:63 -c:v ffv1 -pix_fmt yuv420p", 30, k420},
    {"grey.mkv", "-t 1 -c:v ffv1 -pix_fmt gray", 30, kRgb},
    {"sharp.mp4", "-t 1 -c:v libx264 -pix_fmt yuv444p -colorspace bt709 -color_range pc", 30,
     kSharp},
};

class VideoOfKind : public ::testing::TestWithParam<Written> {};

TEST_P(VideoOfKind, HasThePixelsThatFfmpegDecodes) {
  TemporaryFolder folder;
  const auto path = folder / GetParam().name;
  make_video(path, GetParam().arguments);
  check_against_dump(path, GetParam().frames, GetParam().format);
}

INSTANTIATE_TEST_SUITE_P(All, VideoOfKind, ::testing::ValuesIn(kWritten), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

/// Ten frames a third of a second apart, then thirty in a second.
TEST(VideoFile, TakesFramesOfAVariableRateByTime) {
  TemporaryFolder folder;
  for (const std::string name : {"variable.mp4", "variable.mkv"}) {
    const auto path = folder / name;
    make_video(path,
               "-frames:v 40 -vf \"setpts='if(lt(N,10),N*10,100+N-10)'\" -vsync passthrough "
               "-c:v libx264 -bf 2 -g 12 -pix_fmt yuv420p");
    check_against_dump(path, 40, k420);
    // Four seconds and a third hold 40 frames: 39 periods of 0.11 s. A slow frame stands for three
    // of them, and of four fast ones one is left.
    const auto shown = expected_frames(testing::probed_times(path));
    EXPECT_EQ(shown[3], 1u);
    EXPECT_EQ(shown[4], 1u);
    EXPECT_GE(shown[38] - shown[37], 3u);
  }
}

/// The same rule as that of FFmpeg's fps filter at the measured rate.
TEST(VideoFile, SlotsAreThoseOfTheFpsFilter) {
  TemporaryFolder folder;
  const auto path = folder / "variable.mp4";
  make_video(path,
             "-frames:v 30 -vf \"setpts='N*N'\" -vsync passthrough -c:v libx264 -pix_fmt yuv420p "
             "-video_track_timescale 30000");
  // 29 periods between 0 and 841 frames of 1/30 s.
  VideoFile video(*ffmpeg(), path);
  const auto dump = testing::decoded_frames(path, video.height(), video.width(), k420,
                                            "fps=29*30/841:round=near");
  ASSERT_EQ(video.frames(), 30);
  ASSERT_GE(dump.size(), 29u);  // it may leave out the last
  const auto frames = frames_in(video, every(30));
  for (size_t at = 0; at < 29; ++at) EXPECT_LE(largest_difference(frames[at], dump[at]), 1) << at;
}

TEST(VideoFile, HonoursTheDisplayMatrix) {
  TemporaryFolder folder;
  const auto path = folder / "turned.mp4";
  make_video(path, "-frames:v 3 -c:v libx264rgb -qp 0", "testsrc=size=64x48:rate=5");
  const int matrices[][4] = {{1, 0, 0, 1}, {-1, 0, 0, 1}, {-1, 0, 0, -1}, {1, 0, 0, -1},
                             {0, 1, 1, 0}, {0, 1, -1, 0}, {0, -1, -1, 0}, {0, -1, 1, 0}};
  Bytes original = testing::read(path);
  for (const auto& m : matrices) {
    const std::string name =
        std::to_string(m[0]) + std::to_string(m[1]) + std::to_string(m[2]) + std::to_string(m[3]);
    testing::write(path, original);
    testing::set_display_matrix(path, m[0], m[1], m[2], m[3]);
    VideoFile video(*ffmpeg(), path);
    EXPECT_EQ(video.height(), m[0] == 0 ? 64 : 48) << name;
    EXPECT_EQ(video.width(), m[0] == 0 ? 48 : 64) << name;
    // ffmpeg turns the RGB frames of this file, so no chroma is interpolated on the way.
    const auto dump = testing::decoded_frames(path, video.height(), video.width(), kRgb);
    const auto frames = frames_in(video, every(3));
    ASSERT_EQ(dump.size(), 3u);
    for (size_t at = 0; at < 3; ++at)
      EXPECT_EQ(largest_difference(frames[at], dump[at]), 0) << name << ", frame " << at;
  }
}

std::string kind_of(const std::filesystem::path& path, std::string* message = nullptr) {
  try {
    VideoFile video(*ffmpeg(), path);
    frames_in(video, every(video.frames()));
  } catch (const BadSample& bad) {
    EXPECT_TRUE(std::string(bad.what()).starts_with(path.string())) << bad.what();
    if (message) *message = bad.what();
    return bad.kind();
  }
  return "good";
}

TEST(BadVideos, AreOfTheKindsThatAreDocumented) {
  TemporaryFolder folder;
  ::testing::internal::CaptureStderr();
  ::testing::internal::CaptureStdout();
  const auto path = folder / "x.mp4";
  std::string message;
  const auto kind_of_bytes = [&](const Bytes& bytes) {
    testing::write(path, bytes);
    return kind_of(path, &message);
  };
  EXPECT_EQ(kind_of(folder / "gone.mp4"), "unreadable");
  EXPECT_EQ(kind_of_bytes({}), "damaged");
  EXPECT_EQ(kind_of_bytes(Bytes(5000, 'x')), "unsupported");
  const std::string playlist = "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n";
  EXPECT_NE(kind_of_bytes(Bytes(playlist.begin(), playlist.end())), "good");
  testing::shell("ffmpeg -nostdin -v error -y -f lavfi -i sine=duration=1 " +
                 testing::quoted(path));
  EXPECT_EQ(kind_of(path, &message), "unsupported");
  EXPECT_MENTIONS(message, "no video in it");

  make_video(path, "-t 2 -c:v libx264 -g 10 -pix_fmt yuv420p");
  Bytes bytes = testing::read(path);
  EXPECT_EQ(kind_of_bytes(bytes), "good");
  EXPECT_EQ(kind_of_bytes(Bytes(bytes.begin(), bytes.end() - 600)), "damaged");
  EXPECT_EQ(kind_of_bytes(Bytes(bytes.begin(), bytes.begin() + 40)), "damaged");
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(bytes.size() / 3), 4000, uint8_t{0x5A});
  EXPECT_EQ(kind_of_bytes(bytes), "damaged");

  for (const std::string name : {"cut.mkv", "cut.avi", "cut.webm"}) {
    make_video(folder / name, name == "cut.webm" ? "-t 2 -c:v libvpx" : "-t 2 -c:v mpeg4");
    bytes = testing::read(folder / name);
    bytes.resize(bytes.size() * 2 / 3);
    testing::write(folder / name, bytes);
    EXPECT_EQ(kind_of(folder / name), "damaged") << name;
  }
  make_video(path, "-t 1 -c:v libx264 -pix_fmt yuv420p -movflags +faststart");
  bytes = testing::read(path);
  bytes.resize(bytes.size() * 2 / 3);
  EXPECT_EQ(kind_of_bytes(bytes), "damaged");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");  // FFmpeg says nothing
}

/// Two videos, put together as they are: frames of the second have another size.
TEST(BadVideos, FramesThatChangeTheirSizeAreUnsupported) {
  TemporaryFolder folder;
  make_video(folder / "a.mkv", "-frames:v 20 -c:v mjpeg -pix_fmt yuvj420p");
  make_video(folder / "b.mkv", "-frames:v 20 -c:v mjpeg -pix_fmt yuvj420p",
             "testsrc2=size=64x48:rate=30");
  const std::string list = "file a.mkv\nfile b.mkv\n";
  testing::write(folder / "list", Bytes(list.begin(), list.end()));
  testing::shell("ffmpeg -nostdin -v error -f concat -i " + testing::quoted(folder / "list") +
                 " -c copy " + testing::quoted(folder / "both.mkv"));
  std::string message;
  EXPECT_EQ(kind_of(folder / "both.mkv", &message), "unsupported");
  EXPECT_MENTIONS(message, "a frame of 64 x 48 pixels in a video of 96 x 64");
  VideoFile video(*ffmpeg(), folder / "both.mkv");
  EXPECT_EQ(frames_in(video, every(10)).size(), 10u);  // what does not reach it is sound
}

/// Bytes overwritten anywhere: a frame or a BadSample, never a crash, another error or a word.
TEST(BadVideos, AnyDamageIsSurvived) {
  TemporaryFolder folder;
  ::testing::internal::CaptureStderr();
  std::map<std::string, int> outcomes;
  for (const std::string name : {"a.mp4", "a.mkv", "a.avi", "a.ts", "a.webm"}) {
    const auto path = folder / name;
    make_video(path, name == "a.webm" ? "-frames:v 12 -c:v libvpx -b:v 100k"
                                      : "-frames:v 12 -c:v mpeg4 -g 6 -q:v 9");
    const Bytes bytes = testing::read(path);
    KeyedStream draws(random_key(4, Purpose::kAugmentation, 0), bytes.size(), 0, 0);
    for (int round = 0; round < 40; ++round) {
      Bytes damaged = bytes;
      // Half of the rounds spoil headers, where most fields are.
      const size_t range = round % 2 ? bytes.size() : std::min<size_t>(bytes.size(), 1500);
      for (int byte = 0; byte < 1 + round / 8; ++byte)
        damaged[draws.below(range)] = static_cast<uint8_t>(draws.below(256));
      testing::write(path, damaged);
      ++outcomes[kind_of(path)];
    }
  }
  EXPECT_GT(outcomes["good"], 10);
  EXPECT_GT(outcomes["damaged"], 10);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(FrameTimes, AreSlotsOfTheAveragePeriod) {
  const auto all = [](std::vector<int64_t> given) {
    const FrameTimes times(std::move(given));
    std::vector<int64_t> shown;
    for (int64_t slot = 0; slot < times.count(); ++slot) shown.push_back(times.shown_in(slot));
    return shown;
  };
  EXPECT_EQ(all({7}), (std::vector<int64_t>{7}));
  EXPECT_EQ(all({30, 10, 20, 0}), (std::vector<int64_t>{0, 10, 20, 30}));
  EXPECT_EQ(all({0, 33, 67, 100, 133}), (std::vector<int64_t>{0, 33, 67, 100, 133}));
  EXPECT_EQ(all({-5, -5, 5}), (std::vector<int64_t>{-5, 5}));
  // Periods of 25: slots at 0, 25, 50, 75, 100; a frame counts from half a slot before.
  EXPECT_EQ(all({0, 1, 2, 3, 100}), (std::vector<int64_t>{3, 3, 3, 3, 100}));
  EXPECT_EQ(all({0, 12, 13, 88, 100}), (std::vector<int64_t>{12, 13, 13, 13, 100}));
  const int64_t far = int64_t{1} << 60;
  EXPECT_EQ(all({-far, 0, far}), (std::vector<int64_t>{-far, 0, far}));
  EXPECT_THROW(FrameTimes({1, 2}).shown_in(2), std::out_of_range);
  EXPECT_THROW(FrameTimes({}), std::invalid_argument);
}

TEST(FrameTimes, StartsAreSpreadFromTheFirstToTheLast) {
  EXPECT_EQ(spread_starts(101, 1), (std::vector<int64_t>{50}));
  EXPECT_EQ(spread_starts(101, 2), (std::vector<int64_t>{0, 100}));
  EXPECT_EQ(spread_starts(101, 5), (std::vector<int64_t>{0, 25, 50, 75, 100}));
  EXPECT_EQ(spread_starts(1, 3), (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(spread_starts(4, 3), (std::vector<int64_t>{0, 2, 3}));
}

}  // namespace
}  // namespace cltrain
