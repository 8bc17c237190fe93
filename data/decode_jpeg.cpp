// libjpeg reports errors by a call that must not return: it leaves by longjmp,
// which skips destructors. So the functions that call setjmp own nothing; their
// caller does.
#include "data/decode.h"
#include "data/exif.h"

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdio>

#include <jerror.h>
#include <jpeglib.h>

namespace cltrain {
namespace {

struct ErrorState {
  jpeg_error_mgr manager;  // first, so that libjpeg's pointer to it is a pointer
                           // to this struct
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
  bool unsupported;
};

void leave(j_common_ptr info) {
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  info->err->format_message(info, state->message);
  const int code = info->err->msg_code;
  state->unsupported = code == JERR_CONVERSION_NOTIMPL || code == JERR_BAD_PRECISION ||
                       code == JERR_SOF_UNSUPPORTED || code == JERR_ARITH_NOTIMPL ||
                       code == JERR_NOTIMPL || code == JERR_CCIR601_NOTIMPL ||
                       code == JERR_FRACT_SAMPLE_NOTIMPL;
  std::longjmp(state->escape, 1);
}

/// Warnings of lost picture data are errors here; libjpeg would fill in grey.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE) leave(info);
}

void ignore_output(j_common_ptr) {}

/// Each scan of a progressive file visits every block again: a small file can
/// ask for any number.
void count_scans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMostScans) return;
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  std::snprintf(state->message, sizeof(state->message), "more than %d scans", kMostScans);
  state->unsupported = true;
  std::longjmp(state->escape, 1);
}

/// Owns libjpeg's state; the destructor runs whichever way decoding ended.
struct Decompressor {
  jpeg_decompress_struct info{};
  ErrorState errors{};
  jpeg_progress_mgr progress{};

  Decompressor() {
    info.err = jpeg_std_error(&errors.manager);
    errors.manager.error_exit = leave;
    errors.manager.emit_message = on_message;
    errors.manager.output_message = ignore_output;
    progress.progress_monitor = count_scans;
  }
  ~Decompressor() { jpeg_destroy_decompress(&info); }
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;
};

/// Reads the header. False: errors.message says why.
bool begin(Decompressor& decoder, std::span<const uint8_t> bytes) {
  if (setjmp(decoder.errors.escape)) return false;
  jpeg_decompress_struct& info = decoder.info;
  jpeg_create_decompress(&info);
  info.progress = &decoder.progress;
  jpeg_mem_src(&info, bytes.data(), bytes.size());
  jpeg_read_header(&info, TRUE);
  const bool four = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  info.out_color_space = four ? JCS_CMYK : JCS_RGB;
  return true;
}

/// The part of the reduced picture that is decoded. libjpeg widens it to whole
/// blocks.
struct Region {
  JDIMENSION top, left, height, width;
};

/// Starts decoding with the given columns; afterwards region.left and .width
/// are what rows hold.
bool start(Decompressor& decoder, unsigned reduction, Region& region) {
  if (setjmp(decoder.errors.escape)) return false;
  jpeg_decompress_struct& info = decoder.info;
  info.scale_num = 1;
  info.scale_denom = reduction;
  jpeg_start_decompress(&info);
  if (region.width < info.output_width) jpeg_crop_scanline(&info, &region.left, &region.width);
  return true;
}

/// Fills `pixels` with the region's rows of row_bytes each.
bool read_rows(Decompressor& decoder, const Region& region, uint8_t* pixels, size_t row_bytes) {
  if (setjmp(decoder.errors.escape)) return false;
  jpeg_decompress_struct& info = decoder.info;
  if (region.top > 0) jpeg_skip_scanlines(&info, region.top);
  while (info.output_scanline < region.top + region.height) {
    JSAMPROW row = pixels + size_t{info.output_scanline - region.top} * row_bytes;
    jpeg_read_scanlines(&info, &row, 1);
  }
  return true;
}

/// Ink to light, in place: four bytes a pixel become three. Adobe's files hold
/// 255 - ink.
void from_cmyk(uint8_t* pixels, size_t count, bool inverted) {
  const auto light = [inverted](uint8_t value) { return inverted ? value : 255 - value; };
  for (size_t pixel = 0; pixel < count; ++pixel) {
    const uint8_t* ink = pixels + 4 * pixel;
    const int black = light(ink[3]);
    for (size_t channel = 0; channel < 3; ++channel)
      pixels[3 * pixel + channel] = static_cast<uint8_t>((light(ink[channel]) * black + 127) / 255);
  }
}

/// A file that was cut short has none. `rest` is what follows the header of the
/// first scan, where the two bytes can mean nothing else.
bool has_end_marker(std::span<const uint8_t> rest) {
  for (size_t at = rest.size(); at-- > 1;)
    if (rest[at] == 0xD9 && rest[at - 1] == 0xFF) return true;
  return false;
}

/// Huffman codes have a bit or more, and every block has one in some scan.
bool long_enough(const jpeg_decompress_struct& info, size_t bytes) {
  if (info.arith_code) return true;
  uint64_t blocks = 0;
  for (int i = 0; i < info.num_components; ++i)
    blocks += uint64_t{info.comp_info[i].width_in_blocks} * info.comp_info[i].height_in_blocks;
  return bytes >= blocks / 8;
}

/// How many pixels of the reduced picture around a part are decoded too: at the
/// edges of what it decodes, libjpeg interpolates chroma from fewer samples
/// than in the middle of the picture.
constexpr double kMargin = 4;

class JpegImage : public EncodedImage {
 public:
  JpegImage(std::span<const uint8_t> bytes, const std::string& name)
      : name_(name), size_(bytes.size()) {
    if (!begin(decoder_, bytes)) refuse();
    const jpeg_decompress_struct& info = decoder_.info;
    set_extent(info.image_height, info.image_width, exif_orientation(exif_of_jpeg(bytes)), name);
    if (!long_enough(info, bytes.size())) refuse("too short for the size it declares");
    if (!has_end_marker(bytes.last(info.src->bytes_in_buffer))) refuse("no end-of-image marker");
  }

  Picture decode(const Box& part, int64_t reduction, DecodeScratch& scratch) override {
    const Box stored = stored_box(part, orientation_, stored_height_, stored_width_);
    Region region = region_of(stored, reduction);
    if (!start(decoder_, static_cast<unsigned>(reduction), region)) refuse();
    const jpeg_decompress_struct& info = decoder_.info;
    const size_t channels = info.out_color_space == JCS_CMYK ? 4 : 3;
    const size_t row_bytes = channels * region.width;
    scratch.pixels.resize(region.height * row_bytes);
    if (!read_rows(decoder_, region, scratch.pixels.data(), row_bytes)) refuse();
    if (channels == 4)
      from_cmyk(scratch.pixels.data(), size_t{region.height} * region.width, info.saw_Adobe_marker);
    return upright({.pixels = scratch.pixels.data(),
                    .height = region.height,
                    .width = region.width,
                    .top = static_cast<double>(region.top),
                    .left = static_cast<double>(region.left),
                    .scale = 1 / static_cast<double>(reduction)},
                   scratch);
  }

 private:
  [[noreturn]] void refuse(const char* why = nullptr) const {
    const ErrorState& errors = decoder_.errors;
    if (!why) why = errors.message;
    const std::string what =
        std::string(" JPEG (") + why + "; " + std::to_string(size_) + " bytes)";
    if (errors.unsupported)
      throw BadSample("unsupported", name_ + ": a kind of" + what +
                                         " that cannot be read: convert "
                                         "the file or remove it");
    throw BadSample("damaged",
                    name_ + ": damaged or truncated" + what + ": remove the file or replace it");
  }

  Region region_of(const Box& box, int64_t reduction) const {
    const auto range = [reduction](int64_t low, int64_t extent, int64_t side, JDIMENSION& first,
                                   JDIMENSION& count) {
      const auto ratio = static_cast<double>(reduction);
      const double whole = std::ceil(static_cast<double>(side) / ratio);
      const double begin = std::floor(static_cast<double>(low) / ratio) - kMargin;
      const double end = std::ceil(static_cast<double>(low + extent) / ratio) + kMargin;
      first = static_cast<JDIMENSION>(std::max(begin, 0.0));
      count = static_cast<JDIMENSION>(std::min(end, whole)) - first;
    };
    Region region{};
    range(box.top, box.height, stored_height_, region.top, region.height);
    range(box.left, box.width, stored_width_, region.left, region.width);
    return region;
  }

  std::string name_;
  size_t size_;
  Decompressor decoder_;
};

}  // namespace

std::unique_ptr<EncodedImage> open_jpeg(std::span<const uint8_t> bytes, const std::string& name) {
  return std::make_unique<JpegImage>(bytes, name);
}

}  // namespace cltrain
