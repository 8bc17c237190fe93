// A bitmap font of 5 x 7 pixels for captions: digits, capital letters and some signs. Small letters
// are drawn as capitals, what the font does not have as a box. Pure.
#pragma once

#include <array>
#include <cstdint>

namespace cltrain {

constexpr int64_t kGlyphWidth = 5, kGlyphHeight = 7;

/// One byte a column, left to right; bit 0 is the top row.
std::array<uint8_t, 5> glyph(char character);

}  // namespace cltrain
