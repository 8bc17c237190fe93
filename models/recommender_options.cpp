// The options of srma, cl4srec and coserec. What a view of a history is made by, and how views are
// compared, is described once for all three.
#include "models/options.h"

namespace cltrain {
namespace {

const std::vector<std::string> kHistoryOps{"crop",       "mask",   "reorder",
                                           "substitute", "insert", "identity"};

/// `name`: of the method, which is the section.
void describe_contrast(OptionTable& table, const std::string& name, HistoryContrastOptions& chosen,
                       bool similar) {
  table.add(name + ".contrast_weight", chosen.weight,
            {.doc = "weight of the contrast beside the loss of the next items", .min = 0});
  table.add(name + ".temperature", chosen.temperature,
            {.doc = "NT-Xent temperature", .min = 0, .above_min = true});
  table.add(name + ".contrast", chosen.vector,
            {.doc = "what of a view is compared: flat = the outputs of all slots as one vector, "
                    "padding included, last = that of the last slot, mean = that of the items",
             .choices = {"flat", "last", "mean"}});
  table.add(name + ".normalize", chosen.normalize,
            {.doc = "compare by cosine; false: by dot product"});
  table.add(name + ".augment", chosen.augment,
            {.doc = "what a view is made by: each draws one of these",
             .choices = similar ? kHistoryOps
                                : std::vector<std::string>{"crop", "mask", "reorder", "identity"}});
  table.add(name + ".crop", chosen.crop,
            {.doc = "crop: share of a history that is kept, in one piece", .min = 0, .max = 1});
  table.add(name + ".mask", chosen.mask,
            {.doc = "mask: share of a history that is hidden", .min = 0, .max = 1});
  table.add(
      name + ".reorder", chosen.reorder,
      {.doc = "reorder: share of a history that is shuffled, in one piece", .min = 0, .max = 1});
}

void describe_srma(OptionTable& table, SrmaOptions& srma) {
  describe_contrast(table, "srma", srma.contrast, false);
  table.add("srma.neuron_masking", srma.neuron_masking,
            {.doc = "model augmentation: views pass with dropout (model.dropout, "
                    "model.attention_dropout)"});
  table.add("srma.layers", srma.layers,
            {.doc = "layers behind the encoder, of which views lose some", .min = 0, .max = 64});
  table.add("srma.drop_layers", srma.drop_layers,
            {.doc = "model augmentation: so many of srma.layers are left out of a step; 0: none",
             .min = 0,
             .max = 64});
  table.add("srma.keep_below", srma.keep_below,
            {.doc = "instead of srma.drop_layers: each layer stays where its draw in [0, 1) is "
                    "below this; -1: off",
             .min = -1,
             .max = 1});
  table.add(
      "srma.layer_kind", srma.layer_kind,
      {.doc = "what they are: single = one linear layer, inter = a feed-forward block, sasrec "
              "= a whole transformer layer",
       .choices = {"single", "inter", "sasrec"}});
  table.add("srma.layer_draw", srma.layer_draw,
            {.doc = "which layers are left out: drawn once a step, or for each view",
             .choices = {"shared", "per_view"}});
  table.add("srma.layers_in_training", srma.layers_in_training,
            {.doc = "the loss of the next items passes srma.layers too, some left out, as in "
                    "evaluation, which passes all; false: it trains the encoder before them"});
  table.add("srma.complement", srma.complement,
            {.doc = "model augmentation: an encoder trained before, whose output is a further "
                    "positive of each view: a run's folder or a .safetensors file; empty: none"});
  table.add("srma.complement_weight", srma.complement_weight,
            {.doc = "weight of the contrast with it", .min = 0});
  table.add("srma.complement_dropout", srma.complement_dropout,
            {.doc = "it runs with dropout, as the authors' code has it"});
}

void describe_coserec(OptionTable& table, CoserecOptions& coserec) {
  describe_contrast(table, "coserec", coserec.contrast, true);
  table.add("coserec.substitute", coserec.substitute,
            {.doc = "substitute: share of a history that similar items replace, at least one item",
             .min = 0,
             .max = 1});
  table.add("coserec.insert", coserec.insert,
            {.doc = "insert: share of a history before which a similar item comes, at least one",
             .min = 0,
             .max = 1});
  table.add("coserec.short_up_to", coserec.short_up_to,
            {.doc = "histories of up to so many items draw from coserec.short_augment", .min = 0});
  table.add("coserec.short_augment", coserec.short_augment,
            {.doc = "as coserec.augment, for short histories", .choices = kHistoryOps});
  table.add("coserec.similarity", coserec.similarity,
            {.doc = "of items, from training histories: itemcf and itemcf_iuf count common users, "
                    "item2vec common neighbourhoods, random draws",
             .choices = {"itemcf", "itemcf_iuf", "item2vec", "random"}});
  table.add(
      "coserec.online_from", coserec.online_from,
      {.doc = "from this epoch on similarity of the learned items counts as well, whichever is "
              "larger; 0: never",
       .unit = "epochs",
       .min = 0});
}

void describe_easyrec(OptionTable& table, EasyrecOptions& easyrec) {
  table.add("easyrec.model", easyrec.model,
            {.doc = "file that describes features and backbone, looked for like a config: "
                    "easyrec/cl4srec_ml100k.yaml"});
  table.add(
      "easyrec.l2_regularization", easyrec.l2_regularization,
      {.doc = "weight of half the squares of all weights but embeddings, in the loss", .min = 0});
  table.add("easyrec.embedding_regularization", easyrec.embedding_regularization,
            {.doc = "weight of half the squares of all embeddings, in the loss", .min = 0});
}

}  // namespace

void describe_recommenders(OptionTable& table, MethodOptions& options) {
  describe_srma(table, options.srma);
  describe_contrast(table, "cl4srec", options.cl4srec.contrast, false);
  describe_coserec(table, options.coserec);
  describe_easyrec(table, options.easyrec);
}

}  // namespace cltrain
