// The evaluation room's half of bench/knn.py and bench/linear_probe.py: reads arrays from .npy
// files, then does one piece of work for each line of standard input and answers with the seconds
// it took, so that the script can take turns between this program and its peer.
//
// usage: eval_bench knn BASE.npy QUERIES.npy K THREADS          lines: tiles, faiss, topk
//        eval_bench probe VECTORS.npy LABELS.npy CLASSES THREADS  lines: sgd N, lbfgs N
#include "data/npy.h"
#include "dist/communicator.h"
#include "eval/linear_probe.h"
#include "eval/nearest.h"

#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

namespace {

using namespace cltrain;

at::Tensor read_tensor(const char* path) {
  const NpyArray array = read_npy(path);
  at::Tensor tensor = at::empty(array.shape, array.type == "<f4" ? at::kFloat : at::kLong);
  TORCH_CHECK(tensor.nbytes() == array.bytes.size(), path, ": expected <f4 or <i8");
  std::memcpy(tensor.mutable_data_ptr(), array.bytes.data(), array.bytes.size());
  return tensor;
}

void answer(const std::function<void()>& work) {
  const auto started = std::chrono::steady_clock::now();
  work();
  std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count()
            << std::endl;
}

void knn(const at::Tensor& base, const at::Tensor& queries, int64_t k) {
  for (std::string line; std::getline(std::cin, line);)
    answer([&] {
      if (line == "tiles") TiledBase(base).search(queries, k);
      if (line == "faiss") nearest_by_faiss(base, queries, k);
      if (line == "topk") nearest_by_topk(base, queries, k);
    });
}

// The answer has the accuracy on the training rows behind the seconds.
void probe(const at::Tensor& vectors, const at::Tensor& labels, int64_t classes,
           const Communicator& communicator) {
  const Features rows{vectors, labels};
  for (std::string line; std::getline(std::cin, line);) {
    ProbeOptions options;
    std::istringstream(line) >> options.optimizer >> options.epochs;
    ProbeResult result;
    answer([&] { result = linear_probe(rows, rows, classes, options, 1, communicator); });
    std::cout << result.top1 << " " << result.objective << std::endl;
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 6) return 2;
  World world = open_world({.device = "cpu"});
  at::set_num_threads(std::stoi(words[5]));
  if (std::string(words[1]) == "knn")
    knn(read_tensor(words[2]), read_tensor(words[3]), std::stoll(words[4]));
  else {
    const Communicators communicators = open_communicators(world);
    probe(read_tensor(words[2]), read_tensor(words[3]), std::stoll(words[4]),
          *communicators.control);
  }
  close_world(world);
}
