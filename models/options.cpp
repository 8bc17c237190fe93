#include "models/options.h"

#include "models/registry.h"

namespace cltrain {

void describe(OptionTable& table, MethodOptions& options) {
  ModelOptions& model = options.model;
  table.add("method.name", options.name,
            {.doc = "contrastive method", .choices = names_of(method_table())});
  table.add("model.name", model.name, {.doc = "encoder", .choices = names_of(model_table())});
  table.add("model.init_from", model.init_from,
            {.doc = "start the encoder from a .safetensors file of weights with torchvision's "
                    "names; empty: keyed random weights"});
  table.add("model.width", model.width,
            {.doc = "multiplies every channel count of the encoder",
             .min = 0,
             .max = 64,
             .above_min = true});
  table.add("model.small_stem", model.small_stem,
            {.doc = "ResNet: 3x3 stride-1 stem without max-pool, for images of about 32 pixels"});
  table.add("model.zero_init_residual", model.zero_init_residual,
            {.doc = "ResNet: the last norm of each block starts at zero"});
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
  table.add("model.head_layers", model.head_layers,
            {.doc = "layers of the projection head: 2 (SimCLR v1) or 3 (v2)", .min = 2, .max = 3});
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
  table.add("simclr.temperature", options.simclr.temperature,
            {.doc = "NT-Xent temperature, or its first value when it is learned",
             .min = 0,
             .above_min = true});
  table.add("simclr.learn_temperature", options.simclr.learn_temperature,
            {.doc = "learn log(1/temperature) with the weights"});
}

}  // namespace cltrain
