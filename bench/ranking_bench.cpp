// bench/ranking.py's half in this program: reads arrays from a folder, then ranks all users once
// for each line of standard input and answers with the seconds it took and the measures.
//
// usage: ranking_bench FOLDER THREADS    lines: full, sampled, recommend
// FOLDER holds items.npy [V, d] and users.npy [n, d] <f4, answers.npy [n], offsets.npy [n + 1] and
// ids.npy <i8 (histories behind one another).
#include "data/npy.h"
#include "dist/communicator.h"
#include "eval/ranking.h"
#include "eval/recommend.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <string>

#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

namespace {

using namespace cltrain;

constexpr int64_t kBatch = 256;  // users in a call, as the encoder hands them over

at::Tensor read_tensor(const std::filesystem::path& path) {
  const NpyArray array = read_npy(path);
  at::Tensor tensor = at::empty(array.shape, array.type == "<f4" ? at::kFloat : at::kLong);
  TORCH_CHECK(tensor.nbytes() == array.bytes.size(), path.string(), ": expected <f4 or <i8");
  std::memcpy(tensor.mutable_data_ptr(), array.bytes.data(), array.bytes.size());
  return tensor;
}

/// The users of `all` from `begin` on, one batch.
RankingQueries batch_of(const RankingQueries& all, int64_t begin) {
  const int64_t count = std::min(kBatch, all.answers.size(0) - begin);
  return {all.representations.narrow(0, begin, count), all.answers.narrow(0, begin, count),
          some_lists(all.history, begin, count), all.users.narrow(0, begin, count)};
}

std::string measures(const at::Tensor& items, const RankingQueries& all,
                     std::shared_ptr<const NegativeSampler> negatives,
                     const Communicator& communicator) {
  const ItemRanking ranking(items, {}, std::move(negatives));
  RankingTally tally = ranking.tally();
  for (int64_t begin = 0; begin < all.answers.size(0); begin += kBatch)
    tally.add(ranking.rank(batch_of(all, begin)));
  return to_text(tally.total(communicator));
}

void recommend(const at::Tensor& items, const RankingQueries& all) {
  const Recommender recommender(items);
  for (int64_t begin = 0; begin < all.answers.size(0); begin += kBatch) {
    const RankingQueries batch = batch_of(all, begin);
    recommender.best(batch.representations, 20, batch.history);
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return 2;
  World world = open_world({.device = "cpu"});
  at::set_num_threads(std::stoi(words[2]));
  {
    const Communicators communicators = open_communicators(world);
    const std::filesystem::path folder = words[1];
    const at::Tensor items = read_tensor(folder / "items.npy");
    const RankingQueries all{
        read_tensor(folder / "users.npy"),
        read_tensor(folder / "answers.npy"),
        {read_tensor(folder / "offsets.npy"), read_tensor(folder / "ids.npy").to(at::kInt)},
        at::arange(read_tensor(folder / "answers.npy").size(0), at::kLong)};
    const PhiloxKey key = random_key(1, Purpose::kProbe, 0);
    for (std::string line; std::getline(std::cin, line);) {
      const auto started = std::chrono::steady_clock::now();
      std::string text;
      if (line == "full") text = measures(items, all, nullptr, *communicators.control);
      if (line == "sampled")
        text = measures(items, all, std::make_shared<NegativeSampler>(items.size(0) - 2, 100, key),
                        *communicators.control);
      if (line == "recommend") recommend(items, all);
      const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
      std::cout << seconds.count() << " " << text << std::endl;
    }
  }
  close_world(world);
}
