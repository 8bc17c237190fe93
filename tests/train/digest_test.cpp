// What the digest of a state depends on.
#include "train/digest.h"

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

namespace cltrain {
namespace {

std::vector<NamedTensor> some_state() {
  return {{"b", at::arange(6, at::kFloat).view({2, 3})},
          {"a", at::arange(4, at::kLong)},
          {"empty", at::zeros({0, 2})}};
}

TEST(StateDigest, DependsOnNothingButTheState) {
  const std::string digest = sha256_of_state(some_state(), {{"step", 3}, {"samples", 9}});
  std::vector<NamedTensor> reversed = some_state();
  std::swap(reversed[0], reversed[2]);
  EXPECT_EQ(sha256_of_state(reversed, {{"samples", 9}, {"step", 3}}), digest);
  std::vector<NamedTensor> strided = some_state();
  strided[0].second = strided[0].second.t().contiguous().t();
  EXPECT_EQ(sha256_of_state(strided, {{"step", 3}, {"samples", 9}}), digest);
}

TEST(StateDigest, EveryBitCounts) {
  std::set<std::string> digests{sha256_of_state(some_state(), {{"step", 3}})};
  size_t asked = 1;
  for (int tensor = 0; tensor < 2; ++tensor)
    for (size_t byte = 0; byte < some_state()[tensor].second.nbytes(); ++byte)
      for (int bit = 0; bit < 8; ++bit, ++asked) {
        std::vector<NamedTensor> changed = some_state();
        static_cast<uint8_t*>(changed[tensor].second.data_ptr())[byte] ^= uint8_t(1u << bit);
        digests.insert(sha256_of_state(changed, {{"step", 3}}));
      }
  EXPECT_EQ(digests.size(), asked);
}

TEST(StateDigest, NamesShapesTypesAndCountersCount) {
  const auto changed = [](auto&& change) {
    std::vector<NamedTensor> tensors = some_state();
    std::map<std::string, int64_t> counters{{"step", 3}};
    change(tensors, counters);
    return sha256_of_state(tensors, counters);
  };
  const std::set<std::string> digests{
      changed([](auto&, auto&) {}),
      changed([](auto& tensors, auto&) { tensors[0].first = "c"; }),
      changed([](auto& tensors, auto&) {
        tensors[0].second = tensors[0].second.view({3, 2});
      }),
      changed(
          [](auto& tensors, auto&) { tensors[1].second = tensors[1].second.view(at::kDouble); }),
      changed([](auto& tensors, auto&) {
        tensors[2].second = at::zeros({2, 0});
      }),
      changed([](auto& tensors, auto&) { tensors.pop_back(); }),
      changed([](auto&, auto& counters) { counters["step"] = 4; }),
      changed([](auto&, auto& counters) { counters["skipped"] = 0; })};
  EXPECT_EQ(digests.size(), 8u);
}

}  // namespace
}  // namespace cltrain
