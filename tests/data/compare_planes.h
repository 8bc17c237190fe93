// Pictures of the views beside those of the golden files.
#pragma once

#include "data/resample.h"
#include "test_files.h"

#include <algorithm>
#include <cstdlib>

#include <gtest/gtest.h>

namespace cltrain::testing {

inline Planes resampled(const Image& image, const Resampling& resampling) {
  ResampleScratch scratch;
  Planes planes;
  resample(whole_picture(image), resampling, scratch, planes);
  return planes;
}

/// Of a square image.
inline Planes planes_of(const Image& image) {
  return resampled(image, {.crop = whole_picture(image).place({0, 0, image.height, image.width}),
                           .resized_height = image.height,
                           .resized_width = image.width,
                           .side = image.height});
}

/// Largest difference in levels of 8 bits, and how many values differ at all.
struct Difference {
  int largest = 0;
  int64_t count = 0, values = 0;
};

inline void compare(const Planes& found, const Image& expected, Difference& difference) {
  ASSERT_EQ(found.side, expected.height);
  ASSERT_EQ(found.side, expected.width);
  for (int64_t at = 0; at < found.area(); ++at)
    for (int channel = 0; channel < 3; ++channel) {
      const int distance = std::abs(found.plane(channel)[at] -
                                    expected.pixels[static_cast<size_t>(3 * at + channel)]);
      difference.largest = std::max(difference.largest, distance);
      difference.count += distance > 0;
      ++difference.values;
    }
}

inline Difference compare(const Planes& found, const Image& expected) {
  Difference difference;
  compare(found, expected, difference);
  return difference;
}

}  // namespace cltrain::testing
