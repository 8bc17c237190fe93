#include "models/options.h"

#include "configs/scalar_text.h"
#include "models/registry.h"

#include <algorithm>

namespace cltrain {
namespace {

void describe_moco(OptionTable& table, MethodOptions& options) {
  MocoOptions& moco = options.moco;
  table.add("moco.queue", moco.queue,
            {.doc = "keys in the queue of negatives, over all ranks", .unit = "keys", .min = 1});
  table.add("moco.momentum", moco.momentum,
            {.doc = "share of the key encoder's weights that a step keeps, below 1", .min = 0});
  table.add(
      "moco.temperature", moco.temperature,
      {.doc = "InfoNCE temperature; 0 takes the paper's: moco_v1 0.07, moco_v2 0.2", .min = 0});
  table.add("moco.symmetric", moco.symmetric,
            {.doc = "both views are queries, each against the other's key; the losses add up"});
  table.add(
      "moco.shuffle_bn", moco.shuffle_bn,
      {.doc = "keys pass the network in another order than queries, so that batch norm over a "
              "part of the batch (model.norm=local, model.bn_splits) tells nothing of pairs"});
  MocoV3Options& v3 = options.moco_v3;
  table.add("moco_v3.momentum", v3.momentum,
            {.doc = "share of the key encoder's weights that a step keeps, at the start; below 1",
             .min = 0});
  table.add("moco_v3.momentum_schedule", v3.momentum_schedule,
            {.doc = "over the run: constant, or cosine to 1", .choices = {"constant", "cosine"}});
  table.add("moco_v3.temperature", v3.temperature,
            {.doc = "InfoNCE temperature; 0 takes the paper's: 1.0, with a ViT 0.2", .min = 0});
  table.add("moco_v3.predictor_hidden", v3.predictor_hidden,
            {.doc = "width of the predictor's hidden layer", .unit = "channels", .min = 1});
  table.add("moco_v3.predictor_last_norm", v3.predictor_last_norm,
            {.doc = "batch norm without scale and shift behind the predictor; auto: with a ViT",
             .choices = {"auto", "true", "false"}});
}

void describe_videomoco(OptionTable& table, VideoMocoOptions& video) {
  table.add("videomoco.queue", video.queue,
            {.doc = "keys in the queue of negatives, over all ranks", .unit = "keys", .min = 1});
  table.add("videomoco.momentum", video.momentum,
            {.doc = "share of the key encoder's weights that a step keeps, below 1", .min = 0});
  table.add("videomoco.temperature", video.temperature,
            {.doc = "InfoNCE temperature", .min = 0, .above_min = true});
  table.add("videomoco.decay", video.decay,
            {.doc = "a queued key's logit is multiplied by this for each push since it came in",
             .min = 0,
             .max = 1,
             .above_min = true});
  table.add("videomoco.shuffle_bn", video.shuffle_bn, {.doc = "as moco.shuffle_bn"});
  table.add("videomoco.drop_ratio", video.drop_ratio,
            {.doc = "share of a clip's frames that the generator drops, rounded down",
             .min = 0,
             .max = 1});
  table.add("videomoco.generator_start", video.generator_start,
            {.doc = "share of the run after which the generator plays; 1 = never, plain MoCo with "
                    "fading keys",
             .min = 0,
             .max = 1});
  table.add("videomoco.generator_weight", video.generator_weight,
            {.doc = "weight of the change of features that the generator seeks", .min = 0});
  table.add(
      "videomoco.joint", video.joint,
      {.doc = "one update of both networks a step, and the generator feels the encoder's loss "
              "too, as the authors' code has it; false: the generator first, by its own loss"});
}

/// Sections of the table that only some methods read.
struct Section {
  std::string prefix;
  std::vector<std::string> methods;
  std::string instead;  ///< what the others have
};

const std::vector<Section>& sections() {
  static const std::vector<Section> all{
      {"simclr.", {"simclr"}, ""},
      {"moco.",
       {"moco_v1", "moco_v2"},
       "moco_v3 has no queue, and its momentum is moco_v3.momentum"},
      {"moco_v3.", {"moco_v3"}, ""},
      {"videomoco.", {"videomoco"}, ""},
      {"srma.", {"srma"}, ""},
      {"cl4srec.", {"cl4srec"}, ""},
      {"coserec.", {"coserec"}, ""},
      {"easyrec.", {"cl4srec_easyrec"}, ""},
      {"finetune.", {"finetune"}, ""},
  };
  return all;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// An option that the chosen method does not read was set for a reason, which would be lost.
void check_sections(std::vector<std::string>& found, const MethodOptions& options) {
  MethodOptions copy = options;
  OptionTable table;
  describe(table, copy);
  MethodOptions untouched;
  OptionTable defaults;
  describe(defaults, untouched);
  for (const Section& section : sections()) {
    if (std::count(section.methods.begin(), section.methods.end(), options.name) > 0) continue;
    for (const Option& option : table.options()) {
      if (!option.name().starts_with(section.prefix)) continue;
      if (option.format() == defaults.find(option.name())->format()) continue;
      found.push_back(option.name() + "=" + option.format() + " is an option of " +
                      joined(section.methods) + ", and method.name=" + options.name +
                      " does not read it" +
                      (section.instead.empty() ? "" : " (" + section.instead + ")") +
                      "; leave it out, or choose its method");
    }
  }
}

void check_momentum(std::vector<std::string>& found, const char* name, double momentum) {
  if (momentum < 1) return;
  const std::string outcome = momentum > 1 ? " would drive the key encoder away from the encoder"
                                           : " would leave the key encoder as it is for ever";
  found.push_back(std::string(name) + "=" + write_float(momentum) + outcome +
                  "; allowed: at least 0 and below 1, as 0.999");
}

}  // namespace

void describe(OptionTable& table, MethodOptions& options) {
  ModelOptions& model = options.model;
  table.add("method.name", options.name,
            {.doc = "contrastive method, or finetune", .choices = names_of(method_table())});
  table.add("model.name", model.name, {.doc = "encoder", .choices = names_of(model_table())});
  table.add("model.init_from", model.init_from,
            {.doc = "start the encoder from a .safetensors file of weights with torchvision's "
                    "names (vit_*: timm's); empty: keyed random weights"});
  table.add("model.width", model.width,
            {.doc = "multiplies every channel count of the encoder; a Vision Transformer takes the "
                    "nearest multiple of 8 channels a head",
             .min = 0,
             .max = 64,
             .above_min = true});
  table.add("model.small_stem", model.small_stem,
            {.doc = "ResNet: 3x3 stride-1 stem without max-pool, for images of about 32 pixels"});
  table.add("model.zero_init_residual", model.zero_init_residual,
            {.doc = "ResNet of images: the last norm of each block starts at zero"});
  table.add("model.patch", model.patch,
            {.doc = "Vision Transformer: side of a patch; it has to divide augment.size",
             .unit = "pixels",
             .min = 1});
  table.add("model.freeze_patch", model.freeze_patch,
            {.doc = "Vision Transformer: the patch projection stays as it was drawn (MoCo v3)"});
  table.add("model.norm", model.norm,
            {.doc = "statistics of the norms: sync = global batch, local = this rank's rows, "
                    "group = group norm",
             .choices = {"sync", "local", "group"}});
  table.add(
      "model.norm_groups", model.norm_groups,
      {.doc = "most channel groups of group norm; fewer where a group would have under 8 channels",
       .min = 1});
  table.add("model.norm_momentum", model.norm_momentum,
            {.doc = "weight of the newest batch in the running statistics",
             .min = 0,
             .max = 1,
             .above_min = true});
  table.add(
      "model.bn_splits", model.bn_splits,
      {.doc = "norm sync: normalise the global batch in so many slices, each by itself, as so "
              "many small devices would; a multiple of the ranks",
       .min = 1,
       .max = 4096});
  table.add("model.layers", model.layers,
            {.doc = "item_transformer: layers", .min = 0, .max = 256});
  table.add(
      "model.heads", model.heads,
      {.doc = "item_transformer: attention heads; they share model.hidden", .min = 1, .max = 256});
  table.add("model.hidden", model.hidden,
            {.doc = "item_transformer: width of an item", .unit = "channels", .min = 1});
  table.add("model.dropout", model.dropout,
            {.doc = "item_transformer: share of hidden values that training drops",
             .min = 0,
             .max = 0.999});
  table.add("model.attention_dropout", model.attention_dropout,
            {.doc = "item_transformer: share of attention weights that training drops",
             .min = 0,
             .max = 0.999});
  table.add("model.head_layers", model.head_layers,
            {.doc = "layers of the projection head; 0 takes the method's own number (simclr 2, "
                    "SimCLR v2's 3 by hand; moco_v1 1, moco_v2 2, moco_v3 2, with a ViT 3)",
             .min = 0,
             .max = 8});
  table.add("model.head_hidden", model.head_hidden,
            {.doc = "width of the head's hidden layers; 0 takes the feature width",
             .unit = "channels",
             .min = 0});
  table.add("model.head_out", model.head_out,
            {.doc = "width of the embedding that the loss compares", .unit = "channels", .min = 1});
  table.add("loss.exchange", options.loss.exchange,
            {.doc = "how embeddings meet those of other ranks: gather = all of them on each rank, "
                    "balanced = also, but each pair of rows is computed once, ring = blocks travel "
                    "and memory is a rank's share",
             .choices = {"gather", "balanced", "ring"},
             .safe_to_change = true});
  table.add("loss.dtype", options.loss.dtype,
            {.doc = "type in which embeddings travel and are multiplied; sums stay in float32 or "
                    "wider. same = that of the embeddings",
             .choices = {"same", "bfloat16"}});
  table.add("loss.cuda_kernels", options.loss.cuda_kernels,
            {.doc = "unverified: on GPUs, kernels of the project's own for the loss, which no GPU "
                    "has run yet, in the place of LibTorch's operators; bfloat16 on Hopper GPUs "
                    "never writes logits to memory",
             .safe_to_change = true});
  describe_moco(table, options);
  describe_videomoco(table, options.videomoco);
  describe_recommenders(table, options);
  table.add("finetune.label_smoothing", options.finetune.label_smoothing,
            {.doc = "share of the target that is spread evenly over all classes",
             .min = 0,
             .max = 0.9999});
  table.add("simclr.temperature", options.simclr.temperature,
            {.doc = "NT-Xent temperature, or its first value when it is learned",
             .min = 0,
             .above_min = true});
  table.add("simclr.learn_temperature", options.simclr.learn_temperature,
            {.doc = "learn log(1/temperature) with the weights"});
}

std::vector<std::string> problems(const MethodOptions& options, int ranks) {
  std::vector<std::string> found;
  check_sections(found, options);
  check_momentum(found, "moco.momentum", options.moco.momentum);
  check_momentum(found, "moco_v3.momentum", options.moco_v3.momentum);
  check_momentum(found, "videomoco.momentum", options.videomoco.momentum);
  const std::string on = " on " + std::to_string(ranks) + " ranks";
  const int64_t splits = options.model.bn_splits;
  if (splits > 1 && options.model.norm != "sync")
    found.push_back("model.bn_splits=" + std::to_string(splits) + " cuts the batch of model.norm=" +
                    "sync, not of model.norm=" + options.model.norm +
                    "; set model.norm=sync, or model.bn_splits=1");
  else if (splits > 1 && splits % ranks != 0)
    found.push_back("model.bn_splits=" + std::to_string(splits) + on +
                    ": a slice would lie on two of them; take a number of ranks that divides it, "
                    "or another model.bn_splits");
  const auto check_queue = [&](const std::string& name, int64_t keys) {
    if (keys < ranks)
      found.push_back(name + "=" + std::to_string(keys) + on +
                      ": every rank keeps a part of the queue, of at least one key; set it to at "
                      "least " +
                      std::to_string(ranks) + ", or start fewer ranks");
  };
  if (options.name == "moco_v1" || options.name == "moco_v2")
    check_queue("moco.queue", options.moco.queue);
  if (options.name == "videomoco") check_queue("videomoco.queue", options.videomoco.queue);
  const ModelOptions& model = options.model;
  if (model.hidden % model.heads != 0)
    found.push_back("model.hidden=" + std::to_string(model.hidden) +
                    " cannot be shared by model.heads=" + std::to_string(model.heads) +
                    " alike; take a multiple");
  const SrmaOptions& srma = options.srma;
  if (srma.keep_below < 0 && srma.drop_layers > srma.layers)
    found.push_back("srma.drop_layers=" + std::to_string(srma.drop_layers) +
                    " is more than srma.layers=" + std::to_string(srma.layers) +
                    " has; set it to at most that, or to 0 for none");
  if (options.name == "cl4srec_easyrec" && options.easyrec.model.empty())
    found.push_back(
        "easyrec.model is empty, and method.name=cl4srec_easyrec has no network without "
        "it; set easyrec.model=FILE, as easyrec/cl4srec_ml100k.yaml");
  if (options.name == "moco_v3" && options.loss.exchange == "balanced")
    found.push_back(
        "loss.exchange=balanced shares out pairs of equals, and moco_v3 compares "
        "queries with keys; set loss.exchange=gather or ring");
  return found;
}

}  // namespace cltrain
