// The bytes of a TensorBoard event file: records framed as TFRecord, each one Event of TensorFlow's
// event.proto, encoded by hand because the few fields used do not warrant protobuf.
//
//   record = length (uint64) | masked crc of length (uint32) | data | masked crc of data (uint32)
// all little-endian; the crc is CRC-32C, rotated and offset so that a crc of data that holds crcs
// stays meaningful. Sources: tensorflow/core/lib/io/record_writer.h,
// tensorflow/core/util/event.proto and framework/summary.proto,
// tensorboard/plugins/scalar/metadata.py.
//
// Pure functions, any thread; they only allocate.
#pragma once

#include "monitoring/sink.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace cltrain {

/// CRC-32C (Castagnoli): of "123456789" it is 0xE3069283.
uint32_t crc32c(std::string_view data);

/// `event` as a record of the file.
std::string framed(std::string_view event);

/// First in every file: says that restarts are announced by start_event().
std::string file_version_event(double wall_time);

/// TensorBoard forgets what it read of steps >= `first_step`, from this file or earlier ones.
std::string start_event(double wall_time, int64_t first_step);

/// One point of each scalar; names are tags ("evaluation/knn/top1"). Values become float.
std::string scalars_event(double wall_time, int64_t step, const NamedValues& scalars);

}  // namespace cltrain
