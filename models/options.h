// Options of the room models/: which method trains which network.
#pragma once

#include "configs/option_table.h"

#include <string>

namespace cltrain {

struct ModelOptions {
  std::string name = "resnet18";
  std::string init_from = "";  ///< a file of weights to start from; empty: keyed random ones
  double width = 1.0;
  bool small_stem = false;
  bool zero_init_residual = true;
  std::string norm = "sync";
  int64_t norm_groups = 32;
  double norm_momentum = 0.1;
  int64_t head_layers = 2;
  int64_t head_hidden = 0;
  int64_t head_out = 128;
};

struct SimclrOptions {
  double temperature = 0.1;
  bool learn_temperature = false;
};

/// How the contrast over all ranks is computed; its value does not depend on it beyond rounding.
struct LossOptions {
  std::string exchange = "gather";
  std::string dtype = "same";
  bool cuda_kernels = false;
};

struct MethodOptions {
  std::string name = "simclr";
  ModelOptions model;
  LossOptions loss;
  SimclrOptions simclr;
};

void describe(OptionTable& table, MethodOptions& options);

}  // namespace cltrain
