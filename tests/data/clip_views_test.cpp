// Views of clips: the same frames for all views, one crop a view, colours by clip or by frame;
// through the loader, with bad files among them.
#include "data/clip_views.h"

#include "data/augment.h"
#include "data/loader.h"
#include "data/plain_images.h"
#include "data/registry.h"
#include "data/subset.h"
#include "data/video_folder.h"
#include "video_files.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

using testing::Bytes;
using testing::data_error;
using testing::make_video;
using testing::TemporaryFolder;

constexpr ClipOptions kClips{.frames = 4, .stride = 2, .eval_clips = 3};

AugmentOptions small_views() {
  AugmentOptions options;
  options.size = 20;
  options.blur_kernel = 3;
  options.solarize = {0.0, 0.5};
  return options;
}

PhiloxKey key_of(uint64_t epoch) {
  return random_key(5, Purpose::kAugmentation, epoch);
}

/// Videos of two classes, of 20 to 25 frames, made once.
const std::filesystem::path& videos() {
  static const TemporaryFolder folder;
  static const bool made = [] {
    for (int video = 0; video < 6; ++video)
      make_video(
          folder / (video % 2 ? "one" : "two") / (std::to_string(video) + ".mp4"),
          "-frames:v " + std::to_string(20 + video) + " -c:v libx264 -g 7 -bf 2 -pix_fmt yuv420p",
          "testsrc2=size=" + std::to_string(40 + 8 * video) + "x48:rate=25");
    return true;
  }();
  static const std::filesystem::path path = made ? folder.path() : "";
  return path;
}

DatasetPair open_videos(const std::filesystem::path& root, const ClipOptions& clips = kClips) {
  return open_video_folders(root.string(), "", "", clips);
}

/// Every frame of a video, as pictures.
std::vector<Image> all_frames(const Dataset& set, int64_t position) {
  const auto video = dynamic_cast<const VideoSet&>(set).open(position);
  std::vector<int64_t> slots;
  for (int64_t slot = 0; slot < video->frames(); ++slot) slots.push_back(slot);
  std::vector<Image> frames;
  video->read(slots, [&](size_t, const Picture& frame) {
    frames.push_back({frame.height, frame.width,
                      Bytes(frame.pixels, frame.pixels + 3 * frame.height * frame.width)});
  });
  return frames;
}

std::vector<std::vector<float>> made(const ViewMaker& maker, int64_t position, PhiloxKey key,
                                     size_t views = 2) {
  std::vector<std::vector<float>> results(
      views, std::vector<float>(static_cast<size_t>(maker.values()), -1000.0f));
  std::vector<float*> outs;
  for (auto& each : results) outs.push_back(each.data());
  maker.make(position, key, outs);
  return results;
}

/// Frame `frame` of a view [3, T, S, S], as [3, S, S].
std::vector<float> frame_of_view(const std::vector<float>& view, int64_t frame, int64_t frames,
                                 int64_t size) {
  std::vector<float> result;
  for (int64_t channel = 0; channel < 3; ++channel) {
    const auto begin = view.begin() + (channel * frames + frame) * size * size;
    result.insert(result.end(), begin, begin + size * size);
  }
  return result;
}

TEST(ClipViews, AreViewsOfTheirFramesWithTheDrawsOfOnePicture) {
  const DatasetPair pair = open_videos(videos());
  for (const bool per_frame : {false, true}) {
    AugmentOptions options = small_views();
    options.per_frame_colour = per_frame;
    const auto maker = pair.train->views(options);
    ASSERT_EQ(maker->shape(), (ViewShape{3, 4, 20, 20}));
    for (int64_t position = 0; position < 6; ++position) {
      const auto id = static_cast<uint64_t>(position);
      const auto frames = all_frames(*pair.train, position);
      const auto starts = static_cast<int64_t>(frames.size()) - 8 + 1;
      const int64_t start = draw_clip_start(key_of(1), id, starts);
      const auto views = made(*maker, position, key_of(1));
      const auto originals = maker->originals(position, key_of(1));
      ASSERT_EQ(originals.size(), 4u);
      for (int64_t t = 0; t < 4; ++t) {
        const Image& frame = frames[static_cast<size_t>(start + 2 * t)];
        EXPECT_EQ(originals[static_cast<size_t>(t)].pixels, frame.pixels);
        for (uint32_t view = 0; view < 2; ++view) {
          ViewDraw draw = draw_view(options, frame.height, frame.width, key_of(1), id, view);
          if (per_frame) draw = draw_of_frame(draw, options, key_of(1), id, view, t);
          std::vector<float> expected(3 * 20 * 20);
          apply_view(frame, draw, options, expected.data());
          ASSERT_EQ(frame_of_view(views[view], t, 4, 20), expected)
              << "video " << position << ", frame " << t << ", view " << view;
        }
      }
    }
  }
}

TEST(ClipViews, ColoursOfFramesAreDrawnApartAndNothingElse) {
  AugmentOptions options = small_views();
  const ViewDraw clip = draw_view(options, 48, 60, key_of(0), 3, 1);
  std::set<double> hues{clip.hue};
  std::set<std::array<int, 4>> orders;
  int grays = 0, jitters = 0;
  for (int64_t frame = 0; frame < kMostClipFrames; ++frame) {
    const ViewDraw draw = draw_of_frame(clip, options, key_of(0), 3, 1, frame);
    hues.insert(draw.hue);
    orders.insert(draw.order);
    grays += draw.gray;
    jitters += draw.jitter;
    EXPECT_EQ(draw.crop.left, clip.crop.left);
    EXPECT_EQ(draw.flip, clip.flip);
    EXPECT_EQ(draw.sigma, clip.sigma);
    EXPECT_EQ(draw.solarize, clip.solarize);
  }
  EXPECT_EQ(hues.size(), 1u + kMostClipFrames);
  EXPECT_EQ(orders.size(), 24u);
  EXPECT_NEAR(grays, 0.2 * kMostClipFrames, 25);
  EXPECT_NEAR(jitters, 0.8 * kMostClipFrames, 25);
  // Of another view, sample or epoch they are others.
  EXPECT_FALSE(hues.contains(draw_of_frame(clip, options, key_of(0), 3, 0, 0).hue));
  EXPECT_FALSE(hues.contains(draw_of_frame(clip, options, key_of(0), 4, 1, 0).hue));
  EXPECT_FALSE(hues.contains(draw_of_frame(clip, options, key_of(1), 3, 1, 0).hue));
}

TEST(ClipViews, StartsAreEverywhereAlike) {
  std::vector<int> counts(7);
  for (uint64_t id = 0; id < 14000; ++id) {
    const int64_t start = draw_clip_start(key_of(2), id, 7);
    ASSERT_TRUE(start >= 0 && start < 7);
    ++counts[static_cast<size_t>(start)];
    EXPECT_EQ(draw_clip_start(key_of(2), id, 1), 0);
  }
  for (const int count : counts) EXPECT_NEAR(count, 2000, 210);  // five deviations
}

TEST(ClipViews, PlainOnesAreSpreadOverTheVideo) {
  const AugmentOptions options = small_views();
  for (const int64_t clips : {1, 3}) {
    const DatasetPair pair = open_videos(videos(), {.frames = 4, .stride = 2, .eval_clips = clips});
    const auto maker = pair.train->views(options);
    ASSERT_EQ(maker->plain_views(), clips);
    const auto frames = all_frames(*pair.train, 2);
    const auto last = static_cast<int64_t>(frames.size()) - 8;
    const std::vector<int64_t> starts =
        clips == 1 ? std::vector<int64_t>{last / 2} : std::vector<int64_t>{0, (last + 1) / 2, last};
    std::vector<float> found(static_cast<size_t>(clips * maker->values()));
    maker->make_plain(2, found.data());
    for (int64_t clip = 0; clip < clips; ++clip) {
      const auto begin = found.begin() + clip * maker->values();
      const std::vector<float> view(begin, begin + maker->values());
      for (int64_t t = 0; t < 4; ++t) {
        std::vector<float> expected(3 * 20 * 20);
        plain_view(frames[static_cast<size_t>(starts[static_cast<size_t>(clip)] + 2 * t)], options,
                   expected.data());
        ASSERT_EQ(frame_of_view(view, t, 4, 20), expected) << clip << ", " << t;
      }
    }
  }
}

TEST(VideoFolder, HasClassesLabelsAndAMiddleFrame) {
  const DatasetPair pair = open_videos(videos());
  ASSERT_EQ(pair.train->size(), 6);
  EXPECT_EQ(pair.train->classes(), 2);
  EXPECT_EQ(pair.train->label(0), 0);
  EXPECT_EQ(pair.train->label(5), 1);
  EXPECT_EQ(pair.test, nullptr);
  EXPECT_MENTIONS(pair.note, "Evaluation by labels is off");
  EXPECT_MENTIONS(pair.train->describe(), "video folder, 6 videos, 2 classes");
  const auto frames = all_frames(*pair.train, 1);
  EXPECT_EQ(pair.train->image(1).pixels, frames[frames.size() / 2].pixels);
  TemporaryFolder empty;
  EXPECT_MENTIONS(data_error([&] { open_videos(empty.path()); }), "no .mp4, .mkv");
}

TEST(VideoFolder, IsOpenedByNameWithTheShapeOfItsViews) {
  DataOptions data;
  data.name = "video_folder";
  data.root = videos().string();
  data.frames = 5;
  const DatasetPair pair = open_datasets(data);
  EXPECT_EQ(view_shape(data, small_views()), (ViewShape{3, 5, 20, 20}));
  EXPECT_EQ(pair.train->views(small_views())->shape(), view_shape(data, small_views()));
  data.name = "cifar10";
  EXPECT_EQ(view_shape(data, small_views()), (ViewShape{3, 20, 20}));
  EXPECT_MENTIONS(data_error([&] {
                    data.val = "x";
                    open_datasets(data);
                  }),
                  "only image_folder, tar_shards, video_folder take these");
}

TEST(VideoFolder, PicksKeepTheViewsOfTheirVideos) {
  const auto whole = open_videos(videos());
  const auto some = pick(open_videos(videos()).train, {4, 1}, "list.npy");
  const auto maker = whole.train->views(small_views()), picked = some->views(small_views());
  EXPECT_EQ(made(*picked, 0, key_of(3)), made(*maker, 4, key_of(3)));
  EXPECT_EQ(made(*picked, 1, key_of(3)), made(*maker, 1, key_of(3)));
  EXPECT_EQ(some->image(0).pixels, whole.train->image(4).pixels);
  std::vector<float> left(static_cast<size_t>(3 * maker->values())), right(left.size());
  picked->make_plain(1, left.data());
  maker->make_plain(1, right.data());
  EXPECT_EQ(left, right);
  EXPECT_EQ(picked->originals(0, key_of(0))[0].pixels, maker->originals(4, key_of(0))[0].pixels);
}

std::vector<Batch> take(const Dataset& set, int64_t workers, int64_t steps) {
  Loader loader(set, {.seed = 9, .global_batch = 4, .workers = workers, .prefetch = 2},
                small_views());
  std::vector<Batch> batches;
  for (int64_t step = 0; step < steps; ++step) batches.push_back(loader.next());
  return batches;
}

TEST(ClipLoader, GivesTheSameViewsAtAnyNumberOfWorkers) {
  const DatasetPair pair = open_videos(videos());
  const auto maker = pair.train->views(small_views());
  const auto expected = take(*pair.train, 1, 4);
  for (const Batch& batch : expected) {
    const at::Tensor& view = batch.tensors.at("view1");
    ASSERT_EQ(view.sizes(), (at::IntArrayRef{batch.global_rows, 3, 4, 20, 20}));
    const auto* ids = batch.ids.const_data_ptr<int64_t>();
    const PhiloxKey key = random_key(9, Purpose::kAugmentation, static_cast<uint64_t>(batch.epoch));
    for (int64_t row = 0; row < view.size(0); ++row) {
      const float* values = view.const_data_ptr<float>() + row * maker->values();
      EXPECT_EQ(std::vector<float>(values, values + maker->values()),
                made(*maker, ids[row], key)[1]);
    }
  }
  for (const int64_t workers : {2, 4}) {
    const auto found = take(*pair.train, workers, 4);
    for (size_t step = 0; step < 4; ++step)
      for (const char* view : {"view0", "view1"})
        EXPECT_TRUE(at::equal(found[step].tensors.at(view), expected[step].tensors.at(view)));
  }
}

/// Six good videos, and four that cannot be used.
void add_bad_videos(const std::filesystem::path& root) {
  std::filesystem::copy(videos(), root, std::filesystem::copy_options::recursive);
  const Bytes good = testing::read(root / "one" / "1.mp4");
  testing::write(root / "one" / "cut.mp4", Bytes(good.begin(), good.end() - 500));
  testing::write(root / "one" / "text.mp4", Bytes(300, 'a'));
  testing::shell("ffmpeg -nostdin -v error -f lavfi -i sine=duration=1 " +
                 testing::quoted(root / "two" / "sound.mkv"));
  make_video(root / "two" / "short.mp4", "-frames:v 7 -c:v libx264 -pix_fmt yuv420p");
}

TEST(ClipLoader, ReplacesAndListsVideosThatCannotBeUsed) {
  TemporaryFolder folder;
  const auto root = folder / "set";
  add_bad_videos(root);
  const DatasetPair pair = open_videos(root);
  ASSERT_EQ(pair.train->size(), 10);
  std::map<std::string, std::string> kinds;  // by the file's name
  for (const int64_t workers : {1, 3}) {
    Loader loader(*pair.train, {.seed = 9, .global_batch = 5, .workers = workers}, small_views());
    kinds.clear();
    for (int step = 0; step < 2; ++step)
      for (const ReplacedRow& row : loader.next().replaced) {
        const std::string path = row.message.substr(0, row.message.find(':'));
        kinds[std::filesystem::path(path).filename().string()] = row.kind;
        EXPECT_NE(row.bad_id, row.replacement_id);
      }
    EXPECT_EQ(kinds, (std::map<std::string, std::string>{{"cut.mp4", "damaged"},
                                                         {"short.mp4", "too_short"},
                                                         {"sound.mkv", "unsupported"},
                                                         {"text.mp4", "unsupported"}}));
  }
  const PlainImages plain = plain_images(*pair.train, {0, 10}, small_views(), 2);
  EXPECT_EQ(plain.views, 3);
  EXPECT_EQ(plain.positions.size(), 6u);
  EXPECT_EQ(plain.left_out.size(), 4u);
  ASSERT_EQ(plain.pictures.sizes(), (at::IntArrayRef{18, 3, 4, 20, 20}));
  const auto maker = pair.train->views(small_views());
  std::vector<float> expected(static_cast<size_t>(3 * maker->values()));
  for (size_t at = 0; at < 6; ++at) {
    maker->make_plain(plain.positions[at], expected.data());
    const float* found = plain.pictures.const_data_ptr<float>() + at * expected.size();
    EXPECT_EQ(std::vector<float>(found, found + expected.size()), expected) << at;
  }
}

TEST(ClipLoader, SaysSoWhereNoVideoCanBeUsed) {
  TemporaryFolder folder;
  for (const char* name : {"a.mp4", "b.mp4"}) testing::write(folder / name, Bytes(300, 'a'));
  const DatasetPair pair = open_videos(folder.path());
  EXPECT_EQ(pair.train->classes(), 0);
  Loader loader(*pair.train, {.seed = 9, .global_batch = 2}, small_views());
  EXPECT_MENTIONS(data_error([&] { loader.next(); }), "seems to be gone or damaged");
}

}  // namespace
}  // namespace cltrain
