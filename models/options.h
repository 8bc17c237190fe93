// Options of the room models/: which method trains which network.
#pragma once

#include "configs/option_table.h"

#include <string>
#include <vector>

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
  int64_t bn_splits = 1;
  int64_t head_layers = 0;
  int64_t head_hidden = 0;
  int64_t head_out = 128;
  // Of item_transformer.
  int64_t layers = 2, heads = 2, hidden = 64;
  double dropout = 0.5, attention_dropout = 0.1;
};

class SequenceSet;
struct ClickColumns;

/// What a run is fed with, as far as weights depend on it. 0 is unknown, or there is none: an
/// encoder or a method that has to know it refuses.
struct InputShape {
  int64_t size = 0;     ///< side of images and frames, pixels
  int64_t frames = 0;   ///< of a clip
  int64_t classes = 0;  ///< of the labels
  int64_t length = 0;   ///< of a sequence of items: the last ones that the network sees
  /// Of recommenders: the users that are trained on, with all items; outlives the method.
  const SequenceSet* sequences = nullptr;
  /// Of click-through models: what a row is made of; outlives the method.
  const ClickColumns* clicks = nullptr;
};

struct SimclrOptions {
  double temperature = 0.1;
  bool learn_temperature = false;
};

/// Of moco_v1 and moco_v2.
struct MocoOptions {
  int64_t queue = 65536;
  double momentum = 0.999;
  double temperature = 0;
  bool symmetric = false;
  bool shuffle_bn = true;
};

struct MocoV3Options {
  double momentum = 0.99;
  std::string momentum_schedule = "cosine";
  double temperature = 0;
  int64_t predictor_hidden = 4096;
  std::string predictor_last_norm = "auto";
};

struct VideoMocoOptions {
  int64_t queue = 65536;
  double momentum = 0.999;
  double temperature = 0.07;
  double decay = 0.99999;
  bool shuffle_bn = true;
  double drop_ratio = 0.25;
  double generator_start = 0.5;
  double generator_weight = 100;
  bool joint = false;
};

/// How srma, cl4srec and coserec make two views of a history, and contrast them.
struct HistoryContrastOptions {
  double weight = 0.1;
  double temperature = 1.0;
  std::string vector = "flat";
  bool normalize = false;
  std::vector<std::string> augment = {"crop", "mask", "reorder"};
  double crop = 0.2, mask = 0.7, reorder = 0.2;
};

struct SrmaOptions {
  HistoryContrastOptions contrast;
  bool neuron_masking = true;
  int64_t layers = 3, drop_layers = 1;
  double keep_below = -1;
  std::string layer_kind = "single", layer_draw = "shared";
  bool layers_in_training = false;
  std::string complement = "";
  double complement_weight = 0.1;
  bool complement_dropout = false;
};

struct Cl4srecOptions {
  HistoryContrastOptions contrast{.vector = "last"};
};

struct CoserecOptions {
  HistoryContrastOptions contrast{.augment = {"insert", "crop", "mask", "reorder", "substitute"}};
  double substitute = 0.1, insert = 0.4;
  int64_t short_up_to = 4;
  std::vector<std::string> short_augment = {"substitute", "insert", "mask"};
  std::string similarity = "itemcf_iuf";
  int64_t online_from = 160;
};

/// Of cl4srec_easyrec.
struct EasyrecOptions {
  std::string model = "";  ///< file with features and backbone (models/backbone/model_file.h)
  double l2_regularization = 0, embedding_regularization = 0;
};

struct FinetuneOptions {
  double label_smoothing = 0;
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
  MocoOptions moco;
  MocoV3Options moco_v3;
  VideoMocoOptions videomoco;
  SrmaOptions srma;
  Cl4srecOptions cl4srec;
  CoserecOptions coserec;
  EasyrecOptions easyrec;
  FinetuneOptions finetune;
};

void describe(OptionTable& table, MethodOptions& options);
/// The part of it that srma, cl4srec and coserec read.
void describe_recommenders(OptionTable& table, MethodOptions& options);

/// What one range cannot say, for `ranks` ranks: options of another method than the one chosen,
/// slices of batch norm that do not fit the ranks, a queue shorter than the ranks. One sentence a
/// mistake; empty when all is well.
std::vector<std::string> problems(const MethodOptions& options, int ranks);

}  // namespace cltrain
