// libpng reports errors by longjmp, which skips destructors. So the functions that call setjmp own
// nothing; their caller does.
#include "data/decode.h"

#include <csetjmp>
#include <cstring>

#include <png.h>

namespace cltrain {
namespace {

struct Source {
  std::span<const uint8_t> bytes;
  size_t at = 0;
  char message[256] = "";
};

void on_error(png_structp png, png_const_charp text) {
  auto* source = static_cast<Source*>(png_get_error_ptr(png));
  std::strncpy(source->message, text, sizeof(source->message) - 1);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep target, size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->bytes.size() - source->at) png_error(png, "the file ends too early");
  std::memcpy(target, source->bytes.data() + source->at, count);
  source->at += count;
}

/// Owns libpng's state; the destructor runs whichever way decoding ended.
struct Reader {
  Source source;
  png_structp png;
  png_infop info;

  explicit Reader(std::span<const uint8_t> bytes)
      : source{.bytes = bytes},
        png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, on_error, ignore_warning)),
        info(png ? png_create_info_struct(png) : nullptr) {
    if (!info) throw std::bad_alloc();
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

/// Reads the header; afterwards png_get_image_* are known.
bool begin(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_read_fn(reader.png, &reader.source, read_bytes);
  // The caller limits the area; text and profile chunks are of no interest.
  png_set_user_limits(reader.png, 0x7FFFFFFF, 0x7FFFFFFF);
  png_set_chunk_malloc_max(reader.png, 8 << 20);
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
  png_read_info(reader.png, reader.info);
  return true;
}

/// Asks for 8-bit RGBA whatever the file holds.
bool set_transforms(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_expand(reader.png);  // palette, depths 1, 2, 4 and transparent colours
  png_set_scale_16(reader.png);
  png_set_gray_to_rgb(reader.png);
  png_set_add_alpha(reader.png, 0xFF, PNG_FILLER_AFTER);
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  return true;
}

bool read_rows(Reader& reader, png_bytepp rows) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_read_image(reader.png, rows);
  png_read_end(reader.png, nullptr);
  return true;
}

std::vector<uint8_t> on_white(const std::vector<uint8_t>& rgba) {
  std::vector<uint8_t> rgb(rgba.size() / 4 * 3);
  for (size_t pixel = 0; pixel < rgba.size() / 4; ++pixel) {
    const int alpha = rgba[4 * pixel + 3];
    for (size_t channel = 0; channel < 3; ++channel)
      rgb[3 * pixel + channel] = static_cast<uint8_t>(
          (rgba[4 * pixel + channel] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  return rgb;
}

}  // namespace

Image decode_png(std::span<const uint8_t> bytes, const std::string& name) {
  Reader reader(bytes);
  const auto refuse = [&] {
    throw DataError(name + ": damaged or truncated PNG (" + reader.source.message + "; " +
                    std::to_string(bytes.size()) + " bytes): remove the file or replace it");
  };
  if (!begin(reader)) refuse();
  const uint64_t height = png_get_image_height(reader.png, reader.info);
  const uint64_t width = png_get_image_width(reader.png, reader.info);
  check_extent(height, width, name);
  if (!set_transforms(reader)) refuse();
  const size_t row_bytes = png_get_rowbytes(reader.png, reader.info);
  if (row_bytes != 4 * width)
    throw DataError(name + ": a PNG of a kind that cannot be turned into RGBA: replace the file");
  std::vector<uint8_t> rgba(height * row_bytes);
  std::vector<png_bytep> rows(height);
  for (size_t y = 0; y < height; ++y) rows[y] = rgba.data() + y * row_bytes;
  if (!read_rows(reader, rows.data())) refuse();
  return {static_cast<int64_t>(height), static_cast<int64_t>(width), on_white(rgba)};
}

}  // namespace cltrain
