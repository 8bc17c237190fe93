#include "train/borrowed.h"

#include "configs/config.h"
#include "configs/mistakes.h"
#include "train/checkpoint.h"
#include "train/files.h"
#include "train/summary.h"

#include <fstream>
#include <iterator>
#include <map>

namespace cltrain {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> options_of_run(const fs::path& run, const std::string& option) {
  const fs::path file = run / "config.resolved.yaml";
  std::ifstream stream(file);
  if (!stream)
    throw ConfigError(option + "=" + run.string() +
                      ": no run of cltrain there (no config.resolved.yaml); name the folder of a "
                      "run, or a .safetensors file");
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  return parse_resolved(text, file.string());
}

}  // namespace

fs::path weights_file_of(const BorrowedNetwork& network, const OptionTable& table) {
  const fs::path from = network.from;
  if (!fs::is_directory(from)) {
    if (!fs::exists(from))
      throw ConfigError(network.option + "=" + network.from +
                        ": no such folder or file; train it first, or name another");
    return from;
  }
  const std::map<std::string, std::string> before = options_of_run(from, network.option);
  std::string differences;
  for (const std::string& name : network.alike) {
    const auto recorded = before.find(name);
    const std::string was = recorded == before.end() ? "(not set)" : recorded->second;
    const std::string is = table.find(name)->format();
    if (was != is) differences += "\n  " + name + " was " + was + " there, and is " + is + " here";
  }
  if (!differences.empty())
    throw ConfigError(network.option + "=" + network.from + ": that run does not fit this one:" +
                      differences + "\nset them alike, or name another run");
  const fs::path file = from / "checkpoints" / "latest" / "state.safetensors";
  if (!fs::exists(file))
    throw CheckpointError(network.option + "=" + network.from +
                          ": the run has no checkpoint yet; finish it first");
  if (!finished_steps(from))
    throw CheckpointError(network.option + "=" + network.from +
                          ": the run is not finished (no summary.json); finish it first by its own "
                          "command, or, to take it as it is, name its file " +
                          file.string());
  return file;
}

}  // namespace cltrain
