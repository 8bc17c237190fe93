#include "monitoring/event_file.h"

#include <array>
#include <bit>

namespace cltrain {
namespace {

constexpr uint32_t kReversedPolynomial = 0x82F63B78;

constexpr std::array<uint32_t, 256> crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReversedPolynomial : 0);
    table[byte] = crc;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = crc_table();

uint32_t masked(uint32_t crc) {
  return std::rotr(crc, 15) + 0xa282ead8u;
}

template <class Unsigned>
void put_little_endian(std::string& out, Unsigned value) {
  for (size_t byte = 0; byte < sizeof value; ++byte)
    out += static_cast<char>(value >> (8 * byte) & 0xff);
}

// Protocol buffers: a field is a key, number << 3 | wire type, and its value.
enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_key(std::string& out, int field, WireType type) {
  put_varint(out, static_cast<uint64_t>(field) << 3 | type);
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

/// Event.wall_time = 1 (double), Event.step = 2 (int64)
std::string event(double wall_time, int64_t step) {
  std::string out;
  put_key(out, 1, kFixed64);
  put_little_endian(out, std::bit_cast<uint64_t>(wall_time));
  if (step == 0) return out;  // the protocol's default is not written
  put_key(out, 2, kVarint);
  put_varint(out, static_cast<uint64_t>(step));
  return out;
}

}  // namespace

uint32_t crc32c(std::string_view data) {
  uint32_t crc = ~0u;
  for (const char byte : data) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<uint8_t>(byte)) & 0xff];
  return ~crc;
}

std::string framed(std::string_view event) {
  std::string out;
  put_little_endian(out, static_cast<uint64_t>(event.size()));
  put_little_endian(out, masked(crc32c(out)));
  out += event;
  put_little_endian(out, masked(crc32c(event)));
  return out;
}

std::string file_version_event(double wall_time) {
  std::string out = event(wall_time, 0);
  put_bytes(out, 3, "brain.Event:2");  // Event.file_version = 3
  return out;
}

std::string start_event(double wall_time, int64_t first_step) {
  std::string session_log;
  put_key(session_log, 1, kVarint);  // SessionLog.status = 1
  put_varint(session_log, 1);        // SessionLog.START
  std::string out = event(wall_time, first_step);
  put_bytes(out, 7, session_log);  // Event.session_log = 7
  return out;
}

std::string scalars_event(double wall_time, int64_t step, const NamedValues& scalars) {
  std::string summary, value;
  for (const auto& [tag, number] : scalars) {
    value.clear();
    put_bytes(value, 1, tag);     // Summary.Value.tag = 1
    put_key(value, 2, kFixed32);  // Summary.Value.simple_value = 2 (float)
    put_little_endian(value, std::bit_cast<uint32_t>(static_cast<float>(number)));
    put_bytes(summary, 1, value);  // Summary.value = 1
  }
  std::string out = event(wall_time, step);
  put_bytes(out, 5, summary);  // Event.summary = 5
  return out;
}

}  // namespace cltrain
