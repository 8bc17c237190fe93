// Dropped frames against loops over scores and pixels: which, what becomes of them, and the
// straight-through gradient.
#include "ops/drop_frames.h"

#include <algorithm>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/util/Exception.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

at::Tensor values(at::IntArrayRef shape, double phase) {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return (at::arange(count, at::kDouble) * 0.77 + phase).sin().view(shape);
}

/// By a selection of its own: the smallest left, the earliest of equals.
std::vector<bool> dropped_by_hand(const at::Tensor& scores, int64_t clip, int64_t count) {
  const int64_t frames = scores.size(1);
  std::vector<bool> dropped(frames, false);
  for (int64_t n = 0; n < count; ++n) {
    int64_t lowest = -1;
    for (int64_t frame = 0; frame < frames; ++frame)
      if (!dropped[frame] &&
          (lowest < 0 || scores[clip][frame].item<double>() < scores[clip][lowest].item<double>()))
        lowest = frame;
    dropped[lowest] = true;
  }
  return dropped;
}

TEST(DropFrames, IsThePlainLoop) {
  const at::Tensor clips = values({3, 3, 6, 4, 5}, 0.3) + 1, scores = values({3, 6}, 0.9);
  const at::Tensor before = clips.clone();
  for (const int64_t count : {0, 1, 2, 5, 6}) {
    const at::Tensor result = drop_frames(clips, scores, count);
    ASSERT_EQ(result.sizes(), clips.sizes());
    for (int64_t clip = 0; clip < 3; ++clip) {
      const std::vector<bool> dropped = dropped_by_hand(scores, clip, count);
      EXPECT_EQ(std::count(dropped.begin(), dropped.end(), true), count);
      for (int64_t frame = 0; frame < 6; ++frame) {
        double sum = 0;
        for (int64_t colour = 0; colour < 3; ++colour)
          for (int64_t y = 0; y < 4; ++y)
            for (int64_t x = 0; x < 5; ++x) sum += clips[clip][colour][frame][y][x].item<double>();
        for (int64_t colour = 0; colour < 3; ++colour)
          for (int64_t y = 0; y < 4; ++y)
            for (int64_t x = 0; x < 5; ++x)
              EXPECT_NEAR(
                  result[clip][colour][frame][y][x].item<double>(),
                  dropped[frame] ? sum / 60 : clips[clip][colour][frame][y][x].item<double>(),
                  1e-14);
      }
    }
  }
  EXPECT_TRUE(at::equal(clips, before)) << "the clips given were changed";
}

TEST(DropFrames, OfEqualScoresTheEarlierFramesGo) {
  const at::Tensor scores = at::tensor({0.5, 0.2, 0.2, 0.2, 0.9, 0.1, 0.1, 0.1}).view({2, 4});
  const at::Tensor expected =
      at::tensor({0, 1, 1, 0, 0, 1, 1, 0}, at::kInt).view({2, 4}).to(at::kBool);
  EXPECT_TRUE(at::equal(frames_to_drop(scores, 2), expected));
  // Long enough that an unstable sort would show.
  const at::Tensor same = frames_to_drop(at::full({1, 300}, 0.25), 75);
  EXPECT_TRUE(same.narrow(1, 0, 75).all().item<bool>());
  EXPECT_FALSE(same.narrow(1, 75, 225).any().item<bool>());
}

TEST(DropFrames, TheGradientGoesStraightThroughToEveryFramesScore) {
  const at::Tensor clips = values({2, 3, 4, 5, 5}, 0.3), upstream = values({2, 3, 4, 5, 5}, 1.7);
  const at::Tensor scores = values({2, 4}, 0.9).requires_grad_();
  drop_frames(clips, scores, 1).backward(upstream);
  for (int64_t clip = 0; clip < 2; ++clip)
    for (int64_t frame = 0; frame < 4; ++frame) {
      double sum = 0;
      for (int64_t colour = 0; colour < 3; ++colour)
        for (int64_t pixel = 0; pixel < 25; ++pixel)
          sum += upstream[clip][colour][frame].view(-1)[pixel].item<double>();
      EXPECT_NEAR(scores.grad()[clip][frame].item<double>(), sum, 1e-13);
    }
}

TEST(DropFrames, TakesNoClipsAndOtherTypes) {
  at::Tensor scores = at::zeros({0, 4}).requires_grad_();
  drop_frames(at::zeros({0, 3, 4, 2, 2}), scores, 1).sum().backward();
  EXPECT_EQ(scores.grad().sizes(), (std::vector<int64_t>{0, 4}));

  const at::Tensor clips = values({2, 3, 4, 5, 5}, 0.3);
  scores = values({2, 4}, 0.9).to(at::kFloat).requires_grad_();
  const at::Tensor rounded = drop_frames(clips.to(at::kBFloat16), scores, 2);
  EXPECT_EQ(rounded.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::allclose(rounded.to(at::kDouble), drop_frames(clips, scores, 2), 0.01, 0.01));
  rounded.sum().backward();
  EXPECT_EQ(scores.grad().scalar_type(), at::kFloat);
}

TEST(DropFrames, RefusesWhatItCannotDo) {
  const at::Tensor clips = values({2, 3, 4, 5, 5}, 0.3), scores = values({2, 4}, 0.9);
  EXPECT_THROW(drop_frames(clips, scores, 5), c10::Error);
  EXPECT_THROW(drop_frames(clips, scores, -1), c10::Error);
  EXPECT_THROW(drop_frames(clips, values({2, 3}, 0.9), 1), c10::Error);
  EXPECT_THROW(drop_frames(clips.select(2, 0), scores, 1), c10::Error);
  EXPECT_THROW(frames_to_drop(values({4}, 0.9), 1), c10::Error);
  EXPECT_THROW(drop_frames(clips.clone().requires_grad_(), scores, 1), c10::Error);
}

}  // namespace
}  // namespace cltrain
