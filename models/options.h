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
  int64_t patch = 16;
  bool freeze_patch = true;
  std::string norm = "sync";
  int64_t norm_groups = 32;
  double norm_momentum = 0.1;
  int64_t head_layers = 2;
  int64_t head_hidden = 0;
  int64_t head_out = 128;
};

/// What the encoder of a run is fed with, as far as its weights depend on it. 0 is unknown: an
/// encoder that has to know it refuses.
struct InputShape {
  int64_t size = 0;    ///< side of images and frames, pixels
  int64_t frames = 0;  ///< of a clip
};

struct SimclrOptions {
  double temperature = 0.1;
  bool learn_temperature = false;
};

/// How the contrast over all ranks is computed; its value does not depend on it beyond rounding.
struct LossOptions {
  std::string exchange = "gather";
  std::string dtype = "same";
};

struct MethodOptions {
  std::string name = "simclr";
  ModelOptions model;
  LossOptions loss;
  SimclrOptions simclr;
};

void describe(OptionTable& table, MethodOptions& options);

}  // namespace cltrain
