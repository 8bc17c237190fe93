// A data set for tests that need pictures but no files.
#pragma once

#include "data/dataset.h"
#include "ops/keyed_random.h"

#include <string>
#include <vector>

namespace cltrain::testing {

/// Small pictures of noise, each with a tint of its own; nothing is read from disk. With `classes`
/// labels go round, and every fifth picture, from 3 on, has none.
class NoisePictures : public Dataset {
 public:
  NoisePictures(int64_t size, int64_t side, int64_t classes = 0)
      : size_(size), side_(side), classes_(classes) {}
  int64_t size() const override { return size_; }
  Image image(int64_t id) const override {
    KeyedStream draws(random_key(99, Purpose::kAugmentation, 0), static_cast<uint64_t>(id), 0, 0);
    Image image{side_, side_, std::vector<uint8_t>(static_cast<size_t>(side_ * side_ * 3))};
    for (size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = static_cast<uint8_t>((draws.below(128) + 40 * ((id + i) % 3)) % 256);
    return image;
  }
  int64_t label(int64_t id) const override {
    return classes_ == 0 || id % 5 == 3 ? -1 : id % classes_;
  }
  int64_t classes() const override { return classes_; }
  std::string describe() const override { return "noise"; }

 private:
  int64_t size_, side_, classes_;
};

}  // namespace cltrain::testing
