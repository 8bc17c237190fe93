#include "launcher/start_up.h"

#include "data/registry.h"
#include "launcher/build_info.h"
#include "models/registry.h"
#include "ops/lse_cuda.h"
#include "ops/lse_products.h"
#include "ops/simd.h"

#include <algorithm>
#include <sstream>

#include <ATen/Context.h>
#include <ATen/Parallel.h>

namespace cltrain {
namespace {

std::string grouped(int64_t number) {
  std::string text = std::to_string(number);
  for (int64_t at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3) text.insert(at, ",");
  return text;
}

/// Gradient caching, where it is on: what the encoder takes at a time, and what that does to it.
std::string chunks_text(const Options& options, int ranks, int64_t batch) {
  const BatchCut cut = cut_batch(batch, options.train.train.micro_batch, ranks);
  if (cut.chunks() == 1) return "";
  const int64_t rows = options.train.train.micro_batch, share = (rows + ranks - 1) / ranks;
  const int64_t last = batch - (cut.chunks() - 1) * rows;
  const std::string& norm = options.method.model.norm;
  std::ostringstream text;
  text << "  chunks       " << grouped(cut.chunks()) << " of " << grouped(rows)
       << " samples a step, " << (last < rows ? "the last of " + grouped(last) + ", " : "")
       << (rows % ranks ? "at most " : "") << grouped(share)
       << " a rank: the encoder runs twice over all of them but one\n";
  if (norm == "group") return text.str();
  text << "               batch norm's statistics are those of "
       << (norm == "sync" ? "a chunk of " : "a rank's part of a chunk, ")
       << grouped(norm == "sync" ? rows : share) << " samples ("
       << grouped(method_line(options.method.name).views * (norm == "sync" ? rows : share))
       << " views), not of the global batch; model.norm=group has none\n";
  return text.str();
}

std::string network_text(const Options& options) {
  const ModelOptions& model = options.method.model;
  std::ostringstream text;
  text << model.name;
  const DataKind kind = data_kind(options);
  if (kind == DataKind::kClicks)
    text << " of " << options.method.easyrec.model;
  else if (kind == DataKind::kSequences)
    text << ", " << model.layers << " layers of " << model.hidden << " channels";
  else
    text << " x " << model.width << ", " << model.norm << " norm";
  return text.str();
}

}  // namespace

std::string start_up_text(const Options& options, const World& world, const SampleSet& samples,
                          const std::string& data_note, const Method& method,
                          int64_t steps_per_epoch, int64_t total_steps) {
  int64_t parameters = 0;
  for (const at::Tensor& parameter : method.parameters()) parameters += parameter.numel();
  const LengthOptions& train = options.train.train;
  std::ostringstream text;
  text << "cltrain " << version() << " (" << commit() << "), LibTorch " << torch_version() << "\n"
       << "  ranks        " << world.size << " (" << world.local_size << " on " << world.host
       << "), device " << world.device.str() << ", " << at::get_num_threads()
       << " thread(s) a rank, " << simd_path() << " kernels\n";
  if (!world.device_note.empty()) text << "  device       " << world.device_note << "\n";
  text << "  data         " << samples.describe() << "\n";
  if (!data_note.empty()) text << "               " << data_note << "\n";
  text << "  method       " << options.method.name << ", " << network_text(options) << ", "
       << grouped(parameters) << " parameters, " << options.train.run.dtype
       << (options.train.run.autocast == "none"
               ? ""
               : " with " + options.train.run.autocast + " autocast")
       << (options.train.run.tf32 ? ", TF32 on" : ", TF32 off") << "\n"
       << "  batch        " << grouped(train.global_batch) << " samples over all ranks, "
       << grouped(method.negatives_per_anchor(std::min(train.global_batch, samples.size())))
       << " negatives an anchor\n"
       << (options.method.loss.cuda_kernels
               ? std::string("  loss         loss.cuda_kernels=true: unverified: no GPU has run "
                             "these kernels; ") +
                     (has_lse_fused_kernels()
                          ? "the fused ones are built in\n"
                          : "built without CUTLASS, so without the fused ones\n")
               : "")
       << chunks_text(options, world.size, std::min(train.global_batch, samples.size()))
       << "  length       " << grouped(total_steps) << " steps, " << grouped(steps_per_epoch)
       << " an epoch\n"
       << "  run          " << options.train.run.dir << "\n";
  return text.str();
}

std::map<std::string, std::string> environment_of(const World& world) {
  return {{"ranks", std::to_string(world.size)},
          {"threads", std::to_string(at::get_num_threads())},
          {"device", world.device.is_cpu() ? "cpu" : "cuda"},
          {"instruction_set", simd_path()},
          {"bfloat16_products", has_bfloat16_products() ? "own" : "float32"},
          {"torch", torch_version()},
          {"cltrain", commit()}};
}

void set_numerics(const RunOptions& options) {
  at::globalContext().setAllowTF32CuDNN(options.tf32);
  at::globalContext().setAllowTF32CuBLAS(options.tf32);
  at::globalContext().setDeterministicCuDNN(true);
  at::globalContext().setBenchmarkCuDNN(false);
}

}  // namespace cltrain
