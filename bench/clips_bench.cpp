// Clips a second that the loader makes of a folder of videos: the C++ half of bench/clips.py.
//
//   clips_bench FOLDER WORKERS SECONDS FRAMES STRIDE SIZE
//
// Prints one line of JSON: videos that two views were made of, a second of the clock and a CPU
// second of the process; and, on one thread, the microseconds of a video by part: what it takes to
// open it (read the file, find its frames), to decode and convert the frames, and to make the views
// of them.
#include "data/augment.h"
#include "data/clip_views.h"
#include "data/loader.h"
#include "data/registry.h"
#include "ops/simd.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include <malloc.h>

namespace {

using namespace cltrain;

double seconds_of(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

struct Parts {
  double open = 0, decode = 0, all = 0;  ///< microseconds a video
};

/// Each part includes the one before: what a part takes is the difference.
Parts measure_parts(const VideoSet& set, const DataOptions& data, const ViewMaker& maker) {
  const PhiloxKey key = random_key(1, Purpose::kAugmentation, 0);
  std::vector<float> views(static_cast<size_t>(2 * maker.values()));
  float* const outs[] = {views.data(), views.data() + maker.values()};
  const auto timed = [&](const auto& work) {
    const double start = seconds_of(CLOCK_THREAD_CPUTIME_ID);
    for (int64_t at = 0; at < set.size(); ++at) work(at);
    return 1e6 * (seconds_of(CLOCK_THREAD_CPUTIME_ID) - start) / static_cast<double>(set.size());
  };
  Parts parts;
  parts.open = timed([&](int64_t at) { set.open(at); });
  parts.decode = timed([&](int64_t at) {
    const auto video = set.open(at);
    const int64_t starts = video->frames() - data.frames * data.stride + 1;
    std::vector<int64_t> slots;
    for (int64_t frame = 0; frame < data.frames; ++frame)
      slots.push_back(draw_clip_start(key, static_cast<uint64_t>(at), starts) +
                      frame * data.stride);
    video->read(slots, [](size_t, const Picture&) {});
  });
  parts.all = timed([&](int64_t at) { maker.make(at, key, outs); });
  return parts;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 7) {
    std::fprintf(stderr, "usage: clips_bench FOLDER WORKERS SECONDS FRAMES STRIDE SIZE\n");
    return 2;
  }
  DataOptions data;
  data.name = "video_folder";
  data.root = arguments[1];
  data.frames = std::atoll(arguments[4]);
  data.stride = std::atoll(arguments[5]);
  AugmentOptions augment;
  augment.size = std::atoll(arguments[6]);
  augment.crop_scale_min = 0.2;
  augment.brightness = augment.contrast = augment.saturation = 0.4;
  augment.hue = 0.1;
  augment.blur = 0;
  // As the program does at its start (dist/world.cpp): large blocks stay with the process.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2147483647);
  const int64_t workers = std::atoll(arguments[2]);
  const double seconds = std::atof(arguments[3]);
  const DatasetPair pair = open_datasets(data);
  const auto& set = dynamic_cast<const VideoSet&>(*pair.train);
  const Parts parts = measure_parts(set, data, *set.views(augment));
  Loader loader(set, {.global_batch = 32, .workers = workers, .prefetch = 2}, augment);
  loader.next();  // the loader is warm, and two batches ahead at both ends
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), start = seconds_of(CLOCK_MONOTONIC);
  int64_t videos = 0;
  while (seconds_of(CLOCK_MONOTONIC) - start < seconds) videos += loader.next().global_rows;
  std::printf(
      "{\"simd\": \"%s\", \"videos_per_second\": %.1f, \"videos_per_cpu_second\": %.1f, "
      "\"parts\": {\"open\": %.1f, \"decode\": %.1f, \"views\": %.1f}}\n",
      simd_path().c_str(), static_cast<double>(videos) / (seconds_of(CLOCK_MONOTONIC) - start),
      static_cast<double>(videos) / (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu), parts.open,
      parts.decode - parts.open, parts.all - parts.decode);
  return 0;
}
