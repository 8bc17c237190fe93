// As in decode_png.cpp: the function that calls setjmp owns nothing, because longjmp skips
// destructors.
#include "data/write_png.h"

#include "data/durable_file.h"

#include <csetjmp>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

#include <png.h>

namespace cltrain {
namespace {

struct Target {
  std::vector<uint8_t> bytes;
  char message[256] = "";
};

void on_error(png_structp png, png_const_charp text) {
  auto* target = static_cast<Target*>(png_get_error_ptr(png));
  std::strncpy(target->message, text, sizeof(target->message) - 1);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void append(png_structp png, png_bytep data, size_t count) {
  auto& bytes = static_cast<Target*>(png_get_io_ptr(png))->bytes;
  bool grown = true;
  try {
    bytes.insert(bytes.end(), data, data + count);
  } catch (const std::bad_alloc&) {
    grown = false;  // an exception must not cross libpng's frames
  }
  if (!grown) png_error(png, "no memory");
}

void no_flush(png_structp) {}

struct Writer {
  Target target;
  png_structp png;
  png_infop info;

  Writer()
      : png(png_create_write_struct(PNG_LIBPNG_VER_STRING, &target, on_error, ignore_warning)),
        info(png ? png_create_info_struct(png) : nullptr) {
    if (!info) throw std::bad_alloc();
  }
  ~Writer() { png_destroy_write_struct(&png, &info); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
};

bool encode(Writer& writer, png_uint_32 width, png_uint_32 height, png_bytepp rows) {
  if (setjmp(png_jmpbuf(writer.png))) return false;
  png_set_write_fn(writer.png, &writer.target, append, no_flush);
  png_set_IHDR(writer.png, writer.info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(writer.png, writer.info);
  png_write_image(writer.png, rows);
  png_write_end(writer.png, nullptr);
  return true;
}

}  // namespace

std::vector<uint8_t> encode_png(const Image& image) {
  if (image.height < 1 || image.width < 1 ||
      image.pixels.size() != static_cast<size_t>(image.height * image.width * 3))
    throw std::invalid_argument("PNG: an image of " + std::to_string(image.height) + " x " +
                                std::to_string(image.width) + " with " +
                                std::to_string(image.pixels.size()) +
                                " bytes; allowed: at least 1 x 1, three bytes a pixel");
  Writer writer;
  std::vector<png_bytep> rows(static_cast<size_t>(image.height));
  for (size_t y = 0; y < rows.size(); ++y)  // libpng writes from them only
    rows[y] = const_cast<png_bytep>(image.pixels.data() + y * image.width * 3);
  if (!encode(writer, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height),
              rows.data()))
    throw std::invalid_argument(std::string("PNG: libpng refuses the image: ") +
                                writer.target.message);
  return std::move(writer.target.bytes);
}

void write_png(const std::filesystem::path& path, const Image& image) {
  const std::vector<uint8_t> bytes = encode_png(image);
  replace_file_durably(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace cltrain
