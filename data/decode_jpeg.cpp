// libjpeg reports errors by a call that must not return: it leaves by longjmp, which skips
// destructors. So the function that calls setjmp owns nothing; its caller does.
#include "data/decode.h"

#include <csetjmp>
#include <cstdio>

#include <jerror.h>
#include <jpeglib.h>

namespace cltrain {
namespace {

struct ErrorState {
  jpeg_error_mgr manager;  // first, so that libjpeg's pointer to it is a pointer to this struct
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
};

void leave(j_common_ptr info) {
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  info->err->format_message(info, state->message);
  std::longjmp(state->escape, 1);
}

/// Warnings of lost picture data are errors here; libjpeg would fill in grey.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE) leave(info);
}

void ignore_output(j_common_ptr) {}

/// Owns libjpeg's state; the destructor runs whichever way decoding ended.
struct Decompressor {
  jpeg_decompress_struct info{};
  ErrorState errors{};

  Decompressor() {
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = leave;
    errors.manager.emit_message = on_message;
    errors.manager.output_message = ignore_output;
  }
  ~Decompressor() { jpeg_destroy_decompress(&info); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
};

/// Reads the header and starts. False: errors.message says why.
bool begin(Decompressor& decoder, std::span<const uint8_t> bytes) {
  if (setjmp(decoder.errors.escape)) return false;
  jpeg_decompress_struct& info = decoder.info;
  jpeg_create_decompress(&info);
  jpeg_mem_src(&info, bytes.data(), bytes.size());
  jpeg_read_header(&info, TRUE);
  const bool four = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = four ? JCS_CMYK : JCS_RGB;
  return true;
}

/// Fills `pixels`, rows of output width x output components.
bool read_rows(Decompressor& decoder, uint8_t* pixels, size_t row_bytes) {
  if (setjmp(decoder.errors.escape)) return false;
  jpeg_decompress_struct& info = decoder.info;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    JSAMPROW row = pixels + size_t{info.output_scanline} * row_bytes;
    jpeg_read_scanlines(&info, &row, 1);
  }
  jpeg_finish_decompress(&info);
  return true;
}

/// Ink to light. Adobe's files hold 255 - ink.
std::vector<uint8_t> from_cmyk(const std::vector<uint8_t>& cmyk, bool inverted) {
  std::vector<uint8_t> rgb(cmyk.size() / 4 * 3);
  const auto light = [inverted](uint8_t value) { return inverted ? value : 255 - value; };
  for (size_t pixel = 0; pixel < cmyk.size() / 4; ++pixel)
    for (size_t channel = 0; channel < 3; ++channel)
      rgb[3 * pixel + channel] = static_cast<uint8_t>(
          (light(cmyk[4 * pixel + channel]) * light(cmyk[4 * pixel + 3]) + 127) / 255);
  return rgb;
}

}  // namespace

Image decode_jpeg(std::span<const uint8_t> bytes, const std::string& name) {
  Decompressor decoder;
  const auto refuse = [&] {
    throw DataError(name + ": damaged or truncated JPEG (" + decoder.errors.message + "; " +
                    std::to_string(bytes.size()) + " bytes): remove the file or replace it");
  };
  if (!begin(decoder, bytes)) refuse();
  const jpeg_decompress_struct& info = decoder.info;
  check_extent(info.image_height, info.image_width, name);
  const size_t channels = info.out_color_space == JCS_CMYK ? 4 : 3;
  const size_t row_bytes = channels * info.image_width;
  Image image{info.image_height, info.image_width,
              std::vector<uint8_t>(info.image_height * row_bytes)};
  if (!read_rows(decoder, image.pixels.data(), row_bytes)) refuse();
  if (channels == 4) image.pixels = from_cmyk(image.pixels, info.saw_Adobe_marker);
  return image;
}

}  // namespace cltrain
