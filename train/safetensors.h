// safetensors files: the only format of weights and state, read and written without pickle.
// Format: u64 little-endian N | N bytes of JSON | tensor bytes; an entry is
// {"dtype", "shape", "data_offsets": [begin, end]}, offsets relative to the tensor bytes, which
// they cover exactly.
//
// The reader trusts nothing: sizes are multiplied with overflow checks, every byte belongs to
// exactly one tensor, duplicate names, unknown types and trailing bytes are refused.
#pragma once

#include "models/method.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace cltrain {

/// Writes CPU copies of the tensors in name order, fsynced. Types: float64, float32, float16,
/// bfloat16, int64, int32, uint8, bool. Throws IoError.
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// "float [64, 3, 7, 7]": type and shape, for messages.
std::string shape_text(const at::Tensor& tensor);

/// All tensors of the file, on the CPU. Throws CheckpointError naming the file and what is wrong.
std::vector<NamedTensor> read_safetensors(const std::filesystem::path& path);

}  // namespace cltrain
