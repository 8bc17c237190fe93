// Memory of the streamed log-sum-exp: it grows with rows, not with their square. The dense formula
// on 8192 rows holds at least two float32 tables of 8192 x 8192 until its backward pass, logits and
// probabilities, which is 512 MiB.
#include "ops/allocation_meter.h"
#include "ops/losses.h"
#include "ops/row_lse.h"
#include "tests/support/dense_losses.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <malloc.h>

namespace cltrain {
namespace {

constexpr int64_t kRows = 8192, kWidth = 128;
constexpr double kMiB = 1024.0 * 1024.0;
constexpr double kDense = 2.0 * kRows * kRows * sizeof(float) / kMiB;

at::Tensor rows_of(int64_t rows, at::ScalarType type) {
  return testing::gaussian_rows(rows, kWidth, 3).to(type).requires_grad_();
}

/// A line of /proc/self/status, in MiB.
double status(const std::string& name) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;)
    if (word == name + ":") {
      double kib = 0;
      file >> kib;
      return kib / 1024;
    }
  return -1;
}

struct Peak {
  double tensors;   ///< MiB of tensors at a time, beyond what was there before
  double resident;  ///< MiB of the process at a time, beyond what was there before; -1 if unknown
};

/// Of forward and backward, the gradients included.
Peak peak_of(const std::function<at::Tensor()>& loss) {
  malloc_trim(0);
  std::FILE* clear = std::fopen("/proc/self/clear_refs", "w");
  const bool resets = clear && std::fputs("5", clear) >= 0 && std::fflush(clear) == 0;
  if (clear) std::fclose(clear);
  const double before = status("VmRSS");
  const AllocationMeter meter;
  loss().backward();
  return {static_cast<double>(meter.peak()) / kMiB, resets ? status("VmHWM") - before : -1};
}

void expect_small(const char* name, const Peak& peak, double gradients, double limit) {
  std::printf("  %s: tensors %.1f MiB, process %.1f MiB, of which gradients %.1f MiB\n", name,
              peak.tensors, peak.resident, gradients);
  // The meter works: it has seen the gradients.
  EXPECT_GE(peak.tensors, gradients) << name;
  EXPECT_LE(peak.tensors - gradients, limit) << name;
  // Scratch of threads, operands in other layouts and the library's own buffers as well.
  EXPECT_LE(std::max(peak.resident - gradients, 0.0), limit) << name;
}

TEST(LseMemory, ForwardAndBackwardFitBesideTheRows) {
  ASSERT_GT(kDense, 500);
  const double rows = kRows * kWidth * sizeof(float) / kMiB;
  const at::Tensor z = rows_of(kRows, at::kFloat), y = rows_of(kRows, at::kFloat);
  const at::Tensor scale = at::full({}, 10.0).requires_grad_();
  // The first call also sets up the thread pool and the products' code.
  for (const auto type : {at::kFloat, at::kBFloat16})
    self_lse(rows_of(512, type), scale).sum().backward();
  expect_small("self_lse", peak_of([&] { return self_lse(z, scale).sum(); }), rows, 32);
  z.mutable_grad().reset();
  expect_small("row_lse", peak_of([&] { return row_lse(z, y.detach(), scale).sum(); }), rows, 32);
  z.mutable_grad().reset();
  expect_small("two_way_lse", peak_of([&] {
                 const TwoWayLse lse = two_way_lse(z, y, scale);
                 return lse.rows.sum() + lse.columns.sum();
               }),
               2 * rows, 32);
  const at::Tensor half = rows_of(kRows, at::kBFloat16);
  expect_small("self_lse of bfloat16", peak_of([&] { return self_lse(half, scale).sum(); }),
               rows / 2, 48);
}

TEST(LseMemory, TwiceTheRowsTakeTwiceTheMemory) {
  const at::Tensor scale = at::full({}, 10.0).requires_grad_();
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    std::vector<double> peaks;
    for (const int64_t rows : {1024, 2048}) {
      const at::Tensor z = rows_of(rows, type);
      peaks.push_back(peak_of([&] { return self_lse(z, scale).sum(); }).tensors);
    }
    for (size_t i = 1; i < peaks.size(); ++i) {
      EXPECT_GT(peaks[i], 1.5 * peaks[i - 1]) << type;
      EXPECT_LT(peaks[i], 2.5 * peaks[i - 1]) << type;
    }
  }
}

TEST(LseMemory, LossesOfTwoViewsToo) {
  const at::Tensor x = rows_of(kRows / 2, at::kFloat), y = rows_of(kRows / 2, at::kFloat);
  const at::Tensor scale = at::full({}, 10.0).requires_grad_();
  const double rows = kRows * kWidth * sizeof(float) / kMiB;
  expect_small("nt_xent_rows", peak_of([&] { return nt_xent_rows(x, y, scale).sum(); }), rows, 48);
  const at::Tensor labels = at::arange(kRows / 2) % 100;
  expect_small("supcon_rows", peak_of([&] {
                 return supcon_rows(x, labels, scale, SupConForm::kLogOfSum).loss.sum();
               }),
               rows / 2, 48);
}

}  // namespace
}  // namespace cltrain
