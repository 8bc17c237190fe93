// The commands, one function each that makes one; launcher/command.cpp lists them.
#pragma once

#include "launcher/command.h"

#include <memory>

namespace cltrain {

std::unique_ptr<Command> make_train_command();
std::unique_ptr<Command> make_config_command();
std::unique_ptr<Command> make_eval_command();
std::unique_ptr<Command> make_recommend_command();
std::unique_ptr<Command> make_embed_command();
std::unique_ptr<Command> make_neighbours_command();
std::unique_ptr<Command> make_export_command();
std::unique_ptr<Command> make_views_command();
std::unique_ptr<Command> make_plan_command();
std::unique_ptr<Command> make_plot_command();
std::unique_ptr<Command> make_methods_command();
std::unique_ptr<Command> make_models_command();
std::unique_ptr<Command> make_data_command();
std::unique_ptr<Command> make_completion_command();

}  // namespace cltrain
