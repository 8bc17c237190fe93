// JPEG files of any kind that libjpeg can write, and pictures to put into them.
#pragma once

#include "data/dataset.h"
#include "test_files.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <jpeglib.h>

namespace cltrain::testing {

struct JpegKind {
  std::string name;
  int across = 2, down = 2;  ///< how many times finer luma is sampled than chroma
  bool progressive = false;
  int restart_rows = 0;  ///< rows of blocks between restart markers; 0: none
  J_COLOR_SPACE stored = JCS_YCbCr;
  int orientation = 0;  ///< of an EXIF segment; 0: no segment
};

inline const std::vector<JpegKind>& jpeg_kinds() {
  static const std::vector<JpegKind> kinds = {
      {"4:2:0"},
      {"4:2:2", 2, 1},
      {"4:4:4", 1, 1},
      {"4:4:0", 1, 2},
      {"4:1:1", 4, 1},
      {"progressive 4:2:0", 2, 2, true},
      {"progressive 4:4:4", 1, 1, true},
      {"restart markers", 2, 2, false, 1},
      {"grey", 1, 1, false, 0, JCS_GRAYSCALE},
      {"RGB", 1, 1, false, 0, JCS_RGB},
      {"CMYK", 1, 1, false, 0, JCS_CMYK},
      {"YCCK", 2, 2, false, 0, JCS_YCCK},
  };
  return kinds;
}

/// Blobs, fine gratings and an edge: every block and every chroma sample differs from the next.
inline Image photo(int64_t height, int64_t width, int seed = 0) {
  Image image{height, width, Bytes(static_cast<size_t>(3 * height * width))};
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) {
        const double u = static_cast<double>(x), v = static_cast<double>(y), s = seed + c;
        double value = 128 + 60 * std::sin(u / (17 + s) + s) * std::cos(v / (23 - s)) +
                       25 * std::sin(u * (0.31 + 0.1 * c) + v * 0.23) + (x > y ? 12 : -12);
        image.pixels[static_cast<size_t>((y * width + x) * 3 + c)] =
            static_cast<uint8_t>(std::lround(std::fmin(std::fmax(value, 0), 255)));
      }
  return image;
}

/// An APP1 segment's content with nothing but the orientation.
inline Bytes exif_segment(int orientation) {
  return {'E', 'x',  'i', 'f', 0,
          0,   'I',  'I', '*', 0,
          8,   0,    0,   0,   1,
          0,   0x12, 1,   3,   0,
          1,   0,    0,   0,   static_cast<uint8_t>(orientation),
          0,   0,    0,   0,   0,
          0,   0};
}

/// CMYK and YCCK: `image` is stored as light, Adobe's way, with a black that varies.
inline Bytes write_jpeg(const Image& image, const JpegKind& kind, int quality = 90) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  const bool four = kind.stored == JCS_CMYK || kind.stored == JCS_YCCK;
  info.input_components = four ? 4 : 3;
  info.in_color_space = four ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, kind.stored);
  jpeg_set_quality(&info, quality, TRUE);
  info.comp_info[0].h_samp_factor = kind.across;
  info.comp_info[0].v_samp_factor = kind.down;
  if (kind.stored == JCS_YCCK) {
    info.comp_info[3].h_samp_factor = kind.across;
    info.comp_info[3].v_samp_factor = kind.down;
  }
  if (kind.progressive) jpeg_simple_progression(&info);
  info.restart_in_rows = kind.restart_rows;
  jpeg_start_compress(&info, TRUE);
  if (kind.orientation > 0) {
    const Bytes segment = exif_segment(kind.orientation);
    jpeg_write_marker(&info, JPEG_APP0 + 1, segment.data(), static_cast<unsigned>(segment.size()));
  }
  Bytes row(static_cast<size_t>(4 * image.width));
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x)
      for (int64_t c = 0; c < info.input_components; ++c)
        row[static_cast<size_t>(x * info.input_components + c)] =
            c == 3 ? static_cast<uint8_t>(255 - (x + y) % 64)
                   : image.pixels[static_cast<size_t>((y * image.width + x) * 3 + c)];
    JSAMPROW start = row.data();
    jpeg_write_scanlines(&info, &start, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  Bytes bytes(memory, memory + size);
  std::free(memory);
  return bytes;
}

}  // namespace cltrain::testing
