#include "launcher/model_file.h"

#include "configs/config_roots.h"
#include "configs/yaml_source.h"
#include "data/durable_file.h"
#include "launcher/build_info.h"

namespace cltrain {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCopy = "model.yaml";

std::string text_of(const fs::path& file) {
  Mistakes mistakes;
  const auto text = read_config_file(file, {.source = "easyrec.model"}, mistakes);
  mistakes.throw_if_any();
  return *text;
}

bool has_model_file(const MethodOptions& options) {
  return options.name == "cl4srec_easyrec";
}

}  // namespace

fs::path find_model_file(const std::string& name) {
  Mistakes mistakes;
  const auto found = ConfigRoots(config_folders()).find_main(name, mistakes);
  mistakes.throw_if_any();
  return *found;
}

MethodOptions with_model_file(const MethodOptions& options, const fs::path& run) {
  MethodOptions found = options;
  if (!has_model_file(options)) return found;
  const fs::path copy = run / kCopy;
  found.easyrec.model = !run.empty() && fs::exists(copy)
                            ? copy.string()
                            : find_model_file(options.easyrec.model).string();
  return found;
}

void keep_model_file(const MethodOptions& found, const fs::path& run) {
  if (!has_model_file(found)) return;
  const fs::path copy = run / kCopy;
  const std::string text = text_of(found.easyrec.model);
  if (!fs::exists(copy)) return replace_file_durably(copy, text);
  if (text_of(copy) != text)
    throw ConfigError("easyrec.model=" + found.easyrec.model + " is not what the run in " +
                      run.string() + " began with, of which " + copy.string() +
                      " is a copy; set another run.dir, or put the old text back");
}

}  // namespace cltrain
