#include "data/video_stream.h"

#include "data/dataset.h"
#include "data/decode.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

namespace cltrain {
namespace {

constexpr int kReadAhead = 1 << 16;
/// What FFmpeg may look at to tell a format, bytes.
constexpr unsigned kProbedBytes = 1 << 20;

/// Formats such as playlists would open other files, or the network.
int refuse_to_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

/// Of a display matrix, row vectors times [a b; c d]; 0 where it is no turn by quarters.
int orientation_of(const int32_t* matrix) {
  const int32_t a = matrix[0], b = matrix[1], c = matrix[3], d = matrix[4];
  if (b == 0 && c == 0) {
    if (a > 0 && d > 0) return 1;
    if (a < 0 && d > 0) return 2;
    if (a < 0 && d < 0) return 3;
    if (a > 0 && d < 0) return 4;
  }
  if (a == 0 && d == 0) {
    if (b > 0 && c > 0) return 5;
    if (b > 0 && c < 0) return 6;
    if (b < 0 && c < 0) return 7;
    if (b < 0 && c > 0) return 8;
  }
  return 0;
}

/// An EBML number of variable length at `at`, which moves behind it; nothing where it is cut off,
/// or where all its bits are ones, which stands for "unknown".
std::optional<uint64_t> ebml_size(std::span<const uint8_t> bytes, uint64_t& at) {
  if (at >= bytes.size() || bytes[at] == 0) return std::nullopt;
  const int length = std::countl_zero(bytes[at]) + 1;
  if (bytes.size() - at < static_cast<size_t>(length)) return std::nullopt;
  uint64_t value = bytes[at] & (0xFF >> length);
  for (int i = 1; i < length; ++i) value = value << 8 | bytes[at + static_cast<uint64_t>(i)];
  at += static_cast<uint64_t>(length);
  if (value == (uint64_t{1} << (7 * length)) - 1) return std::nullopt;
  return value;
}

/// Whether a Matroska or WebM file (RFC 8794, RFC 9559) ends before its segment does. FFmpeg takes
/// that for the end of the video.
bool is_cut_matroska(std::span<const uint8_t> bytes) {
  constexpr uint8_t kHeader[] = {0x1A, 0x45, 0xDF, 0xA3}, kSegment[] = {0x18, 0x53, 0x80, 0x67};
  const auto stands_at = [&](const uint8_t(&id)[4], uint64_t at) {
    return at <= bytes.size() && bytes.size() - at >= 4 &&
           std::equal(id, id + 4, bytes.begin() + static_cast<std::ptrdiff_t>(at));
  };
  uint64_t at = 4;
  if (!stands_at(kHeader, 0)) return false;
  const auto header = ebml_size(bytes, at);
  if (!header || *header > bytes.size() || !stands_at(kSegment, at + *header)) return false;
  at += *header + 4;
  const auto segment = ebml_size(bytes, at);
  return segment && *segment > bytes.size() - at;
}

template <class Object>
Object* allocated(Object* object) {
  if (!object) throw std::bad_alloc();
  return object;
}

}  // namespace

VideoStream::VideoStream(const Ffmpeg& ffmpeg, std::span<const uint8_t> bytes, std::string name)
    : ffmpeg_(ffmpeg), memory_{bytes}, name_(std::move(name)) {
  open();
  choose_stream();
  read_orientation();
}

VideoStream::~VideoStream() = default;

void VideoStream::fail(const char* kind, const std::string& what) const {
  throw BadSample(kind, name_ + ": " + what);
}

int VideoStream::read(void* opaque, uint8_t* out, int size) {
  Memory& memory = *static_cast<Memory*>(opaque);
  const size_t count = std::min(static_cast<size_t>(size), memory.bytes.size() - memory.at);
  if (count == 0) return AVERROR_EOF;
  std::memcpy(out, memory.bytes.data() + memory.at, count);
  memory.at += count;
  return static_cast<int>(count);
}

int64_t VideoStream::move(void* opaque, int64_t offset, int whence) {
  Memory& memory = *static_cast<Memory*>(opaque);
  const auto size = static_cast<int64_t>(memory.bytes.size());
  if (whence & AVSEEK_SIZE) return size;
  const int from = whence & ~AVSEEK_FORCE;
  const int64_t base = from == SEEK_CUR   ? static_cast<int64_t>(memory.at)
                       : from == SEEK_END ? size
                                          : 0;
  if (offset < -base || offset > size - base) return AVERROR(EINVAL);
  memory.at = static_cast<size_t>(base + offset);
  return base + offset;
}

void VideoStream::open() {
  auto* buffer = static_cast<uint8_t*>(allocated(ffmpeg_.av_malloc(kReadAhead)));
  io_ = {
      allocated(ffmpeg_.avio_alloc_context(buffer, kReadAhead, 0, &memory_, &read, nullptr, &move)),
      {&ffmpeg_}};
  const AVInputFormat* kind = nullptr;
  if (ffmpeg_.av_probe_input_buffer2(io_.get(), &kind, "", nullptr, 0, kProbedBytes) < 0)
    fail("unsupported", "no video format that FFmpeg knows: convert the file or remove it");
  if (is_cut_matroska(memory_.bytes)) fail("damaged", "truncated: remove the file or replace it");
  AVFormatContext* format = allocated(ffmpeg_.avformat_alloc_context());
  format->pb = io_.get();
  format->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_GENPTS;
  format->io_open = &refuse_to_open;
  format->fps_probe_size = 0;  // the rate is measured from all frames
  // Frees `format` where it fails.
  if (const int code = ffmpeg_.avformat_open_input(&format, "", kind, nullptr); code < 0)
    fail("damaged", std::string(kind->name) + " file that cannot be opened (" +
                        ffmpeg_.error_text(code) +
                        "), truncated or corrupt: remove the file or replace it");
  format_ = {format, {&ffmpeg_}};
}

void VideoStream::choose_stream() {
  if (const int code = ffmpeg_.avformat_find_stream_info(format_.get(), nullptr); code < 0)
    fail("damaged", "its streams cannot be read (" + ffmpeg_.error_text(code) +
                        "): remove the file or replace it");
  for (unsigned at = 0; at < format_->nb_streams; ++at) {
    AVStream* each = format_->streams[at];
    const bool cover = (each->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0;
    if (each->codecpar->codec_type != AVMEDIA_TYPE_VIDEO || cover) each->discard = AVDISCARD_ALL;
  }
  const int found =
      ffmpeg_.av_find_best_stream(format_.get(), AVMEDIA_TYPE_VIDEO, -1, -1, &codec_, 0);
  if (found == AVERROR_DECODER_NOT_FOUND)
    fail("unsupported", "no decoder for its video: convert the file or remove it");
  if (found < 0 || format_->streams[found]->discard == AVDISCARD_ALL)
    fail("unsupported", "no video in it (" + std::string(format_->iformat->name) + ", " +
                            std::to_string(format_->nb_streams) +
                            " other streams): remove the file or replace it");
  stream_ = format_->streams[found];
  for (unsigned at = 0; at < format_->nb_streams; ++at)
    if (format_->streams[at] != stream_) format_->streams[at]->discard = AVDISCARD_ALL;
  const auto height = static_cast<int64_t>(parameters().height);
  const auto width = static_cast<int64_t>(parameters().width);
  if (height < 1 || width < 1)
    fail("damaged", "its video has no size: remove the file or replace it");
  if (width > static_cast<int64_t>(kLargestImage) / height)
    fail("too_large", "frames of " + std::to_string(width) + " x " + std::to_string(height) +
                          " pixels, allowed are " + std::to_string(kLargestImage) + " in all");
}

void VideoStream::read_orientation() {
  size_t bytes = 0;
  const uint8_t* data = ffmpeg_.av_stream_get_side_data(stream_, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
  int32_t matrix[9];
  if (!data || bytes < sizeof(matrix)) return;
  std::memcpy(matrix, data, sizeof(matrix));
  orientation_ = orientation_of(matrix);
  if (orientation_ == 0)
    fail("unsupported",
         "it is to be shown turned by other than quarters: convert the file "
         "(ffmpeg -i IN OUT turns the frames) or remove it");
}

bool VideoStream::next(AVPacket& packet) {
  for (;;) {
    ffmpeg_.av_packet_unref(&packet);
    const int code = ffmpeg_.av_read_frame(format_.get(), &packet);
    if (code == AVERROR_EOF) return false;
    if (code < 0)
      fail("damaged", "cannot be read to its end (" + ffmpeg_.error_text(code) +
                          "), truncated or corrupt: remove the file or replace it");
    if (packet.stream_index != stream_->index) continue;
    if (packet.flags & AV_PKT_FLAG_CORRUPT)
      fail("damaged", "a frame is cut off, truncated or corrupt: remove the file or replace it");
    return true;
  }
}

bool VideoStream::seek(int64_t decoding_time) {
  return ffmpeg_.av_seek_frame(format_.get(), stream_->index, decoding_time,
                               AVSEEK_FLAG_BACKWARD) >= 0;
}

}  // namespace cltrain
