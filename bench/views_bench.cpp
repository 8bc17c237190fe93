// Views a second on one thread, and where the time goes: the C++ half of bench/views.py.
//
//   views_bench cifar SECONDS CIFAR100_TRAIN.BIN     two SimCLR views of 32 x 32 pictures
//   views_bench jpeg SECONDS A.jpg B.jpg ...         two 224 x 224 views with blur of JPEG files
//
// Prints one line of JSON. Seconds are CPU seconds of the thread, so that other programs on the
// machine count little. `stages` are microseconds an image, measured stage by stage over small
// batches; they leave out what happens between the stages.
#include "data/augment.h"
#include "data/blur.h"
#include "data/colour.h"
#include "data/decode.h"
#include "data/views.h"
#include "ops/simd.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace cltrain;

constexpr int64_t kCifarRecord = 2 + 3 * 32 * 32, kCifarPictures = 1000;

double cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<uint8_t> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  return std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {});
}

struct Work {
  AugmentOptions options;
  std::vector<RawImage> raws;
  size_t batch = 8;  ///< pictures a batch of the stages; they stay in the cache
};

Work cifar(const std::string& path) {
  Work work{.batch = 64};
  work.options.size = 32;
  work.options.brightness = work.options.contrast = work.options.saturation = 0.4;
  work.options.hue = 0.1;
  work.options.blur = 0;
  const std::vector<uint8_t> bytes = read(path);
  if (bytes.size() < static_cast<size_t>(kCifarRecord * kCifarPictures))
    throw std::runtime_error(path + ": not CIFAR-100's train.bin");
  for (int64_t at = 0; at < kCifarPictures; ++at) {
    const uint8_t* planes = bytes.data() + at * kCifarRecord + 2;
    Image image{32, 32, std::vector<uint8_t>(3 * 32 * 32)};
    for (size_t pixel = 0; pixel < 32 * 32; ++pixel)
      for (size_t c = 0; c < 3; ++c) image.pixels[3 * pixel + c] = planes[c * 32 * 32 + pixel];
    work.raws.push_back({.pixels = std::move(image), .name = path});
  }
  return work;
}

Work jpegs(int count, char** paths) {
  Work work;
  work.options.size = 224;
  for (int at = 0; at < count; ++at)
    work.raws.push_back({.encoded = read(paths[at]), .name = paths[at]});
  return work;
}

double images_per_second(const Work& work, double seconds) {
  const auto values = static_cast<size_t>(3 * work.options.size * work.options.size);
  std::vector<float> views(2 * values);
  float* outs[] = {views.data(), views.data() + values};
  const PhiloxKey key = random_key(1, Purpose::kAugmentation, 0);
  uint64_t made = 0;
  const double start = cpu_seconds();
  double used = 0;
  while (used < seconds) {
    for (int at = 0; at < 16; ++at, ++made)
      make_views(work.raws[made % work.raws.size()], work.options, key, made, outs);
    used = cpu_seconds() - start;
  }
  return static_cast<double>(made) / used;
}

/// CPU seconds of each stage, added up over batches.
struct Stages {
  double draw = 0, decode = 0, resample = 0, colour = 0, blur = 0, normalise = 0;
};

/// What one picture of a batch needs from stage to stage.
struct Sample {
  const RawImage* raw;
  ViewDraw draws[2];
  DecodeScratch decoded;
  Picture picture;
  Planes planes[2];
};

template <class Stage>
void timed(double& seconds, std::vector<Sample>& samples, const Stage& stage) {
  const double start = cpu_seconds();
  for (Sample& sample : samples) stage(sample);
  seconds += cpu_seconds() - start;
}

void measure_batch(const AugmentOptions& options, uint64_t first, std::vector<Sample>& samples,
                   Stages& stages) {
  static ViewScratch scratch;
  static std::vector<float> view(static_cast<size_t>(3 * options.size * options.size));
  const PhiloxKey key = random_key(1, Purpose::kAugmentation, 0);
  for (Sample& sample : samples) {
    const Image& image = sample.raw->pixels;
    int64_t height = image.height, width = image.width;
    if (image.pixels.empty()) {
      const auto file = open_image(sample.raw->encoded, sample.raw->name);
      height = file->height();
      width = file->width();
    }
    const double start = cpu_seconds();
    for (uint32_t which = 0; which < 2; ++which)
      sample.draws[which] = draw_view(options, height, width, key, first, which);
    stages.draw += cpu_seconds() - start;
    ++first;
  }
  timed(stages.decode, samples, [&](Sample& sample) {
    sample.picture = whole_picture(sample.raw->pixels);
    if (!sample.raw->pixels.pixels.empty()) return;
    const auto file = open_image(sample.raw->encoded, sample.raw->name);
    const DecodePlan plan = plan_decode(sample.draws, options);
    sample.picture = file->decode(plan.part, plan.reduction, sample.decoded);
  });
  const auto each_view = [&](double& seconds, const auto& stage) {
    timed(seconds, samples, [&](Sample& sample) {
      for (int which = 0; which < 2; ++which)
        stage(sample, sample.draws[which], sample.planes[which]);
    });
  };
  each_view(stages.resample, [&](const Sample& sample, const ViewDraw& draw, Planes& planes) {
    resample(sample.picture,
             {.crop = sample.picture.place(draw.crop),
              .resized_height = options.size,
              .resized_width = options.size,
              .side = options.size,
              .flip = draw.flip},
             scratch.resample, planes);
  });
  each_view(stages.colour, [&](const Sample&, const ViewDraw& draw, Planes& planes) {
    if (draw.jitter) jitter(planes, draw);
    if (draw.gray) make_gray(planes);
  });
  each_view(stages.blur, [&](const Sample&, const ViewDraw& draw, Planes& planes) {
    if (draw.blur) gaussian_blur(planes, blur_kernel_size(options), draw.sigma, scratch.blur);
  });
  each_view(stages.normalise, [&](const Sample&, const ViewDraw&, Planes& planes) {
    normalise(planes, options, {view.data(), planes.area()});
  });
}

}  // namespace

int main(int count, char** arguments) {
  const std::string name = count > 3 ? arguments[1] : "";
  if (name != "cifar" && name != "jpeg") {
    std::fprintf(stderr, "usage: views_bench cifar|jpeg SECONDS FILE...\n");
    return 2;
  }
  const double seconds = std::atof(arguments[2]);
  const Work work = name == "cifar" ? cifar(arguments[3]) : jpegs(count - 3, arguments + 3);
  images_per_second(work, 0.2);  // warm
  const double rate = images_per_second(work, seconds);
  Stages stages;
  std::vector<Sample> samples(work.batch);
  uint64_t images = 0;
  for (const double start = cpu_seconds(); cpu_seconds() - start < seconds;
       images += samples.size()) {
    for (size_t at = 0; at < samples.size(); ++at)
      samples[at].raw = &work.raws[(images + at) % work.raws.size()];
    measure_batch(work.options, images, samples, stages);
  }
  const auto micros = [&](double total) { return 1e6 * total / static_cast<double>(images); };
  std::printf(
      "{\"case\": \"%s\", \"images_per_second\": %.1f, \"simd\": \"%s\", \"stages\": "
      "{\"draw\": %.2f, \"decode\": %.2f, \"resample\": %.2f, \"colour\": %.2f, \"blur\": %.2f, "
      "\"normalise\": %.2f}}\n",
      name.c_str(), rate, simd_path().c_str(), micros(stages.draw), micros(stages.decode),
      micros(stages.resample), micros(stages.colour), micros(stages.blur),
      micros(stages.normalise));
  return 0;
}
