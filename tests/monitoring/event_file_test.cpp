#include "monitoring/event_file.h"

#include <string>

#include <gtest/gtest.h>

namespace cltrain {
namespace {

TEST(EventFile, Crc32cOfPublishedVectors) {
  // RFC 3720, appendix B.4, and the check value of the catalogue of parametrised CRC algorithms.
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  std::string rising, falling;
  for (char c = 0; c < 32; ++c) rising += c;
  for (char c = 31; c >= 0; --c) falling += c;
  EXPECT_EQ(crc32c(rising), 0x46DD794Eu);
  EXPECT_EQ(crc32c(falling), 0x113FDB5Cu);
  EXPECT_EQ(crc32c(""), 0u);
}

// The bytes below were made with tensorboard 2.21: summary.writer.record_writer.RecordWriter, and
// SerializeToString() of compat.proto.event_pb2.Event.

std::string bytes(const char* text, size_t size) {
  return {text, size};
}

TEST(EventFile, RecordIsLengthDataAndTheirMaskedChecksums) {
  EXPECT_EQ(framed("123456789"), bytes("\x09\0\0\0\0\0\0\0"
                                       "7\xf9q9"
                                       "123456789"
                                       "\xe5\xb0\x8a\xc7",
                                       25));
}

TEST(EventFile, EventsHaveTheFieldsOfTheProtocol) {
  EXPECT_EQ(file_version_event(1.0), bytes("\x09\0\0\0\0\0\0\xf0?"
                                           "\x1a\x0d"
                                           "brain.Event:2",
                                           24));
  EXPECT_EQ(start_event(1.0, 300), bytes("\x09\0\0\0\0\0\0\xf0?"
                                         "\x10\xac\x02:\x02\x08\x01",
                                         16));
  EXPECT_EQ(scalars_event(1.0, 5, {{"a", 1.0}, {"bc", -2.0}}), bytes("\x09\0\0\0\0\0\0\xf0?"
                                                                     "\x10\x05*\x15"
                                                                     "\x0a\x08\x0a\x01"
                                                                     "a"
                                                                     "\x15\0\0\x80?"
                                                                     "\x0a\x09\x0a\x02"
                                                                     "bc"
                                                                     "\x15\0\0\0\xc0",
                                                                     34));
}

}  // namespace
}  // namespace cltrain
