// libpng reports errors by longjmp, which skips destructors. So the functions
// that call setjmp own nothing; their caller does.
#include "data/decode.h"
#include "data/exif.h"

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
    if (info) return;
    png_destroy_read_struct(&png, nullptr, nullptr);
    throw std::bad_alloc();
  }
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

/// Reads the header; afterwards png_get_image_* are known.
bool begin(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_read_fn(reader.png, &reader.source, read_bytes);
  // set_extent limits the area. Text, profiles and unknown chunks are of no
  // interest: none may take much memory, nor may there be many of them.
  png_set_user_limits(reader.png, 0x7FFFFFFF, 0x7FFFFFFF);
  png_set_chunk_malloc_max(reader.png, 8 << 20);
  png_set_chunk_cache_max(reader.png, 128);
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, nullptr, 0);
  png_read_info(reader.png, reader.info);
  return true;
}

/// Asks for 8-bit RGB, or RGBA where something is transparent, whatever the
/// file holds.
bool set_transforms(Reader& reader) {
  if (setjmp(png_jmpbuf(reader.png))) return false;
  png_set_expand(reader.png);  // palette, depths 1, 2, 4 and transparent colours
  png_set_scale_16(reader.png);
  png_set_gray_to_rgb(reader.png);
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

/// RGBA to RGB, in place.
void put_on_white(uint8_t* pixels, size_t count) {
  for (size_t pixel = 0; pixel < count; ++pixel) {
    const uint8_t* rgba = pixels + 4 * pixel;
    const int alpha = rgba[3];
    for (size_t channel = 0; channel < 3; ++channel)
      pixels[3 * pixel + channel] =
          static_cast<uint8_t>((rgba[channel] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
}

class PngImage : public EncodedImage {
 public:
  PngImage(std::span<const uint8_t> bytes, const std::string& name) : name_(name), reader_(bytes) {
    if (!begin(reader_)) refuse();
    const png_structp png = reader_.png;
    const png_infop info = reader_.info;
    set_extent(png_get_image_height(png, info), png_get_image_width(png, info),
               exif_orientation(exif_of_png(bytes)), name);
    // Deflate shrinks by 1,032 at most.
    const uint64_t packed =
        (png_get_rowbytes(png, info) + 1) * static_cast<uint64_t>(stored_height_);
    if (packed / 1032 > bytes.size()) refuse("too short for the size it declares");
  }

  Picture decode(const Box&, int64_t, DecodeScratch& scratch) override {
    if (!set_transforms(reader_)) refuse();
    const auto height = static_cast<size_t>(stored_height_);
    const auto width = static_cast<size_t>(stored_width_);
    const size_t row_bytes = png_get_rowbytes(reader_.png, reader_.info);
    if (row_bytes != 4 * width && row_bytes != 3 * width)
      throw BadSample("unsupported", name_ +
                                         ": a kind of PNG that cannot be turned into RGB: "
                                         "convert the file or remove it");
    scratch.pixels.resize(height * row_bytes);
    std::vector<png_bytep> rows(height);
    for (size_t y = 0; y < height; ++y) rows[y] = scratch.pixels.data() + y * row_bytes;
    if (!read_rows(reader_, rows.data())) refuse();
    if (row_bytes == 4 * width) put_on_white(scratch.pixels.data(), height * width);
    return upright(
        {.pixels = scratch.pixels.data(), .height = stored_height_, .width = stored_width_},
        scratch);
  }

 private:
  [[noreturn]] void refuse(const char* why = nullptr) const {
    throw BadSample("damaged", name_ + ": damaged or truncated PNG (" +
                                   (why ? why : reader_.source.message) + "; " +
                                   std::to_string(reader_.source.bytes.size()) +
                                   " bytes): remove the file or replace it");
  }

  std::string name_;
  Reader reader_;
};

}  // namespace

std::unique_ptr<EncodedImage> open_png(std::span<const uint8_t> bytes, const std::string& name) {
  return std::make_unique<PngImage>(bytes, name);
}

}  // namespace cltrain
