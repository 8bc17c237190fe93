#include "train/digest.h"

#include "data/sha256.h"

#include <algorithm>
#include <sstream>

namespace cltrain {

std::string sha256_of_state(const std::vector<NamedTensor>& tensors,
                            const std::map<std::string, int64_t>& counters) {
  Sha256 sha;
  for (const auto& [name, value] : counters) sha.add(name + "=" + std::to_string(value) + "\n");
  std::vector<const NamedTensor*> sorted;
  for (const NamedTensor& item : tensors) sorted.push_back(&item);
  std::sort(sorted.begin(), sorted.end(),
            [](const NamedTensor* a, const NamedTensor* b) { return a->first < b->first; });
  for (const NamedTensor* item : sorted) {
    const at::Tensor bytes = item->second.detach().cpu().contiguous();
    std::ostringstream header;
    header << item->first << " " << bytes.scalar_type() << " " << bytes.sizes() << "\n";
    sha.add(header.str());
    sha.add(bytes.const_data_ptr(), bytes.nbytes());
  }
  return sha.hex();
}

}  // namespace cltrain
