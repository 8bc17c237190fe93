// Weights of an encoder in and out, as safetensors files with torchvision's names, for Vision
// Transformers timm's, and no prefix ("conv1.weight", "layer1.0.bn1.running_mean", ...;
// models/nets/): parameters and buffers, counters of batches as int64. A ResNet's file loads into
// torchvision's ResNet without its `fc`, a Vision Transformer's into timm's without its `head`.
//
// load_initial_weights also takes a file that has this classifier, or what S3-Rec pretrains with
// (left out, and reported), the state.safetensors of a checkpoint (its tensors below
// "model.encoder."), and weights in float64, float32, float16 or bfloat16, which are converted to
// the encoder's type.
//
// Nothing here is collective: rank 0 exports; to load, either every rank reads the file, which
// gives all the same bits, or rank 0 does and spreads the state (train/spread_state.h). For a run
// at step 0: a continued one takes its checkpoint. Not thread-safe.
//
// Errors: IoError (exit code 74) where a file cannot be written; CheckpointError (exit code 5)
// where one cannot be read or does not fit: every difference in one message, and nothing is
// changed.
#pragma once

#include "models/method.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace cltrain {

/// The part of a method that is exported and that embeds images: its module "encoder".
torch::nn::Module& backbone_of(const Method& method);

/// The digest of an encoder's tensors (sha256_of_state, without counters).
std::string backbone_sha256(const torch::nn::Module& encoder);

/// Writes an encoder, or that of a method, to `path` by way of a temporary name; its folder must
/// exist. `metadata` (method, model, step, config, ...) goes into the file's __metadata__, with
/// "format" = "pt" and "sha256" = the result: the digest of the tensors (sha256_of_state, without
/// counters).
std::string export_backbone(const torch::nn::Module& encoder, const std::filesystem::path& path,
                            std::map<std::string, std::string> metadata);
std::string export_backbone(const Method& method, const std::filesystem::path& path,
                            std::map<std::string, std::string> metadata);

/// What a file of weights was.
struct InitialWeights {
  std::string sha256;                ///< of the encoder's tensors as they are now
  std::vector<std::string> ignored;  ///< names in the file that are no part of an encoder
};

/// Copies the weights of the file into an encoder, or that of a method.
InitialWeights load_initial_weights(torch::nn::Module& encoder, const std::filesystem::path& path);
InitialWeights load_initial_weights(Method& method, const std::filesystem::path& path);

}  // namespace cltrain
