// The square 8-bit RGB picture that the augmentation works on: three planes,
// one after the other. torchvision rounds to 8 bits after every transform, and
// so does everything that takes Planes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cltrain {

struct Planes {
  explicit Planes(int64_t side = 0) { resize(side); }

  /// Keeps its memory, so that one object serves view after view; pixels are
  /// then unspecified.
  void resize(int64_t new_side) {
    side = new_side;
    pixels.resize(static_cast<size_t>(3 * side * side));
  }
  uint8_t* plane(int channel) { return pixels.data() + channel * area(); }
  const uint8_t* plane(int channel) const { return pixels.data() + channel * area(); }
  int64_t area() const { return side * side; }

  int64_t side = 0;
  std::vector<uint8_t> pixels;  ///< [3, side, side]
};

}  // namespace cltrain
