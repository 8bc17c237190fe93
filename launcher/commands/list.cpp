// cltrain methods | models | data: what exists, one line each, from the registries.
#include "data/registry.h"
#include "dist/exit_codes.h"
#include "launcher/commands/commands.h"
#include "models/registry.h"

#include <algorithm>
#include <cstdio>

namespace cltrain {
namespace {

class ListCommand : public Command {
 public:
  explicit ListCommand(std::vector<RegistryLine> lines) : lines_(std::move(lines)) {}

  int run(const Invocation&) override {
    size_t width = 0;
    for (const RegistryLine& line : lines_) width = std::max(width, line.name.size());
    for (const RegistryLine& line : lines_)
      std::printf("%-*s  %s\n", static_cast<int>(width), line.name.c_str(),
                  line.description.c_str());
    return kDone;
  }

 private:
  std::vector<RegistryLine> lines_;
};

}  // namespace

std::unique_ptr<Command> make_methods_command() {
  return std::make_unique<ListCommand>(method_table());
}

std::unique_ptr<Command> make_models_command() {
  return std::make_unique<ListCommand>(model_table());
}

std::unique_ptr<Command> make_data_command() {
  std::vector<RegistryLine> lines;
  for (const DataSetRow& row : data_set_table()) lines.push_back({row.name, row.what});
  lines.push_back(
      {"NAME", "users' items in order, for recommenders: NAME.txt (a user a line) or NAME.inter"});
  return std::make_unique<ListCommand>(lines);
}

}  // namespace cltrain
