#include "launcher/start_up.h"

#include "launcher/build_info.h"
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

}  // namespace

std::string start_up_text(const Options& options, const World& world, const DatasetPair& data,
                          const Method& method, int64_t steps_per_epoch, int64_t total_steps) {
  int64_t parameters = 0;
  for (const at::Tensor& parameter : method.parameters()) parameters += parameter.numel();
  const LengthOptions& train = options.train.train;
  std::ostringstream text;
  text << "cltrain " << version() << " (" << commit() << "), LibTorch " << torch_version() << "\n"
       << "  ranks        " << world.size << " (" << world.local_size << " on " << world.host
       << "), device " << world.device.str() << ", " << at::get_num_threads()
       << " thread(s) a rank, " << simd_path() << " kernels\n";
  if (!world.device_note.empty()) text << "  device       " << world.device_note << "\n";
  text << "  data         " << data.train->describe() << "\n";
  if (!data.note.empty()) text << "               " << data.note << "\n";
  text << "  method       " << options.method.name << ", " << options.method.model.name << " x "
       << options.method.model.width << ", " << options.method.model.norm << " norm, "
       << grouped(parameters) << " parameters, " << options.train.run.dtype
       << (options.train.run.autocast == "none"
               ? ""
               : " with " + options.train.run.autocast + " autocast")
       << (options.train.run.tf32 ? ", TF32 on" : ", TF32 off") << "\n"
       << "  batch        " << grouped(train.global_batch) << " images over all ranks, "
       << grouped(method.negatives_per_anchor(std::min(train.global_batch, data.train->size())))
       << " negatives an anchor\n"
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
