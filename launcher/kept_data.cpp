#include "launcher/kept_data.h"

#include "data/durable_file.h"
#include "data/sha256.h"

#include <fstream>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDigest = "data.sha256";

std::string digest_of(const Interactions& all) {
  Sha256 sum;
  for (const std::string& name : all.user_names) sum.add(name + "\n");
  for (int32_t id = 1; id <= all.items(); ++id) sum.add(all.item_name(id) + "\n");
  sum.add(all.offsets.data(), all.offsets.size() * sizeof(all.offsets[0]));
  sum.add(all.item_ids.data(), all.item_ids.size() * sizeof(all.item_ids[0]));
  return sum.hex();
}

}  // namespace

void check_data(const RunData& data, const fs::path& run) {
  if (!data.sequences || !fs::exists(run / kDigest)) return;
  std::string before;
  std::ifstream(run / kDigest) >> before;
  const std::string now = digest_of(data.sequences->interactions());
  if (before == now) return;
  throw DataError(data.sequences->interactions().description +
                  ": these are not the lists that the run in " + run.string() +
                  " was made with, or not in that order (SHA-256 " + now + ", there " + before +
                  "), and its users and items would be mixed up; put the file back (data.root, "
                  "data.name), or start a new run with run.dir=...");
}

void keep_data(const RunData& data, const fs::path& run) {
  if (!data.sequences) return;
  if (fs::exists(run / kDigest)) return check_data(data, run);
  const Interactions& all = data.sequences->interactions();
  std::string items = "number\titem\n", users = "number\tuser\n";
  for (int32_t id = 1; id <= all.items(); ++id)
    items += std::to_string(id) + "\t" + all.item_name(id) + "\n";
  for (size_t user = 0; user < all.user_names.size(); ++user)
    users += std::to_string(user) + "\t" + all.user_names[user] + "\n";
  replace_file_durably(run / "items.tsv", items);
  replace_file_durably(run / "users.tsv", users);
  replace_file_durably(run / kDigest, digest_of(all) + "\n");
}

}  // namespace cltrain
