#include "train/safetensors.h"

#include "train/files.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

using nlohmann::json;

constexpr std::array<std::pair<at::ScalarType, const char*>, 8> kTypes{{{at::kDouble, "F64"},
                                                                        {at::kFloat, "F32"},
                                                                        {at::kHalf, "F16"},
                                                                        {at::kBFloat16, "BF16"},
                                                                        {at::kLong, "I64"},
                                                                        {at::kInt, "I32"},
                                                                        {at::kByte, "U8"},
                                                                        {at::kBool, "BOOL"}}};
constexpr uint64_t kLargestHeader = 100'000'000;

const char* type_name(const at::Tensor& tensor) {
  for (const auto& [type, name] : kTypes)
    if (type == tensor.scalar_type()) return name;
  TORCH_CHECK(false, "safetensors cannot hold tensors of type ", tensor.scalar_type());
}

struct Entry {
  std::string name;
  at::ScalarType type;
  std::vector<int64_t> shape;
  uint64_t begin, end;
};

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path) {
    try {
      text_ = read_file(path);
    } catch (const std::runtime_error& error) {
      throw CheckpointError(error.what());
    }
  }

  std::vector<NamedTensor> read() {
    uint64_t header = 0;
    if (text_.size() < sizeof(header)) fail("it is shorter than its 8-byte length field");
    std::memcpy(&header, text_.data(), sizeof(header));
    if (header > kLargestHeader || header > text_.size() - sizeof(header))
      fail("its header claims " + std::to_string(header) + " bytes, the file has " +
           std::to_string(text_.size()));
    const char* data = text_.data() + sizeof(header) + header;
    const uint64_t bytes = text_.size() - sizeof(header) - header;
    std::vector<Entry> entries = parse({text_.data() + sizeof(header), header});
    check_cover(entries, bytes);
    std::vector<NamedTensor> tensors;
    for (const Entry& entry : entries) {
      at::Tensor tensor = at::empty(entry.shape, entry.type);
      std::copy_n(data + entry.begin, entry.end - entry.begin,
                  static_cast<char*>(tensor.mutable_data_ptr()));
      tensors.emplace_back(entry.name, tensor);
    }
    return tensors;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw CheckpointError(path_.string() + " is not a sound safetensors file: " + why);
  }

  std::vector<Entry> parse(std::string_view header) const {
    std::set<std::string> seen;
    const auto no_duplicates = [&](int depth, json::parse_event_t event, json& value) {
      if (depth == 1 && event == json::parse_event_t::key &&
          !seen.insert(value.get<std::string>()).second)
        fail("the name '" + value.get<std::string>() + "' stands twice");
      return true;
    };
    std::vector<Entry> entries;
    try {
      const json parsed = json::parse(header, no_duplicates);
      if (!parsed.is_object()) fail("its header is no JSON object");
      for (const auto& [name, value] : parsed.items())
        if (name != "__metadata__") entries.push_back(parse_entry(name, value));
    } catch (const json::exception& error) {
      fail(std::string("its header is malformed: ") + error.what());
    }
    return entries;
  }

  Entry parse_entry(const std::string& name, const json& value) const {
    const auto type_text = value.at("dtype").get<std::string>();
    const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                   [&](const auto& row) { return type_text == row.second; });
    if (type == kTypes.end()) fail("'" + name + "' has the unknown type " + type_text);
    Entry entry{name, type->first, {}, 0, 0};
    uint64_t bytes = c10::elementSize(type->first);
    const json& shape = value.at("shape");
    if (!shape.is_array()) fail("'" + name + "' has a shape that is no list");
    for (const json& extent : shape) {
      if (!extent.is_number_unsigned())
        fail("'" + name + "' has a shape that is not whole numbers");
      const auto size = extent.get<uint64_t>();
      // A shape with a 0 has no bytes, but its strides must be representable as well.
      if (size > INT64_MAX || __builtin_mul_overflow(bytes, std::max<uint64_t>(size, 1), &bytes) ||
          bytes > INT64_MAX)
        fail("'" + name + "' has a shape whose size overflows");
      entry.shape.push_back(static_cast<int64_t>(size));
    }
    if (std::find(entry.shape.begin(), entry.shape.end(), 0) != entry.shape.end()) bytes = 0;
    const json& offsets = value.at("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned())
      fail("'" + name + "' has malformed data_offsets");
    entry.begin = offsets[0].get<uint64_t>();
    entry.end = offsets[1].get<uint64_t>();
    if (entry.end < entry.begin || entry.end - entry.begin != bytes)
      fail("'" + name + "' has offsets that do not match its shape");
    return entry;
  }

  void check_cover(std::vector<Entry>& entries, uint64_t bytes) const {
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    uint64_t position = 0;
    for (const Entry& entry : entries) {
      if (entry.begin != position) fail("'" + entry.name + "' overlaps or leaves a hole");
      position = entry.end;
    }
    if (position != bytes)
      fail("its tensors take " + std::to_string(position) + " bytes, the file has " +
           std::to_string(bytes));
  }

  std::filesystem::path path_;
  std::string text_;
};

}  // namespace

void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<NamedTensor> sorted;
  for (const auto& [name, tensor] : tensors)
    sorted.emplace_back(name, tensor.detach().cpu().contiguous());
  std::sort(sorted.begin(), sorted.end(),
            [](const NamedTensor& a, const NamedTensor& b) { return a.first < b.first; });
  for (size_t i = 1; i < sorted.size(); ++i)
    TORCH_CHECK(sorted[i].first != sorted[i - 1].first, "two tensors are named '", sorted[i].first,
                "': ", path.string(), " could not be read again");
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t position = 0;
  for (const auto& [name, tensor] : sorted) {
    const uint64_t end = position + tensor.nbytes();
    header[name] = {{"dtype", type_name(tensor)},
                    {"shape", tensor.sizes().vec()},
                    {"data_offsets", {position, end}}};
    position = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::vector<std::string_view> pieces{{reinterpret_cast<const char*>(&length), sizeof(length)},
                                       text};
  for (const auto& [name, tensor] : sorted)
    pieces.emplace_back(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  write_file_durably(path, pieces);
}

std::vector<NamedTensor> read_safetensors(const std::filesystem::path& path) {
  return Reader(path).read();
}

std::string shape_text(const at::Tensor& tensor) {
  std::ostringstream text;
  text << tensor.scalar_type() << " " << tensor.sizes();
  return text.str();
}

}  // namespace cltrain
