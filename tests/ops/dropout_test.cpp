// Keyed dropout against a plain scalar loop over Philox words, and its invariances.
#include "ops/dropout.h"

#include <cmath>
#include <limits>
#include <vector>

#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>
#include <time.h>

namespace cltrain {
namespace {

const PhiloxKey kKey = random_key(11, Purpose::kDropout, 1234);

/// Values of both signs, none of them 0.
at::Tensor values(int64_t rows, int64_t length, at::ScalarType type, double phase = 0.3) {
  return (at::arange(rows * length, at::kDouble) * 0.77 + phase)
      .sin()
      .add(1.5e-3)
      .to(type)
      .view({rows, length});
}

at::Tensor ids_of(int64_t rows) {
  return at::arange(rows, at::kLong) * 1000003 + 17;
}

/// 0 or 1 for each element, one word at a time.
at::Tensor plain_mask(const at::Tensor& ids, int64_t length, double probability, uint32_t view,
                      uint32_t site) {
  at::Tensor mask = at::zeros({ids.size(0), length}, at::kDouble);
  auto out = mask.accessor<double, 2>();
  for (int64_t row = 0; row < ids.size(0); ++row)
    for (int64_t e = 0; e < length; ++e) {
      const auto id = static_cast<uint64_t>(ids[row].item<int64_t>());
      const PhiloxBlock block =
          philox4x32_10(random_counter(id, view, site, static_cast<uint64_t>(e / 4)), kKey);
      const double uniform = (block.word[e % 4] >> 8) / 16777216.0;
      out[row][e] = uniform < probability ? 0.0 : 1.0;
    }
  return mask;
}

/// Sets the intra-op threads for its life.
class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }

 private:
  int before_;
};

TEST(KeyedDropout, MaskScaleAndGradientAreThePlainLoops) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble})
    for (const int64_t length : {1, 3, 64, 65, 200})
      for (const double p : {0.1, 0.3, 0.5}) {
        SCOPED_TRACE(testing::Message() << "length " << length << ", p " << p << ", " << type);
        at::Tensor x = values(7, length, type).requires_grad_();
        const at::Tensor ids = ids_of(7);
        const at::Tensor y = keyed_dropout(x, ids, p, kKey, 1, 9);
        const at::Tensor kept = plain_mask(ids, length, p, 1, 9).to(type) * (1 / (1 - p));
        EXPECT_EQ(y.scalar_type(), type);
        EXPECT_TRUE(at::equal(y.detach(), x.detach() * kept));
        const at::Tensor upstream = values(7, length, type, 2.1);
        y.backward(upstream);
        EXPECT_TRUE(at::equal(x.grad(), upstream * kept));
      }
}

TEST(KeyedDropout, DroppedValuesArePlusZero) {
  const at::Tensor x = at::full({1, 1000}, -2.0, at::kFloat);
  const at::Tensor y = keyed_dropout(x, ids_of(1), 0.5, kKey, 0, 0);
  int64_t dropped = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    const float value = y.const_data_ptr<float>()[i];
    if (value != 0) continue;
    ++dropped;
    EXPECT_FALSE(std::signbit(value));
  }
  EXPECT_GT(dropped, 400);
}

TEST(KeyedDropout, DroppedInfinitiesAndNansAreGone) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    const at::Tensor bad = at::full({4, 65}, std::numeric_limits<double>::quiet_NaN(), type);
    const at::Tensor y = keyed_dropout(bad, ids_of(4), 0.5, kKey, 0, 0);
    EXPECT_TRUE(at::equal(y.isnan().to(at::kDouble), plain_mask(ids_of(4), 65, 0.5, 0, 0)));
  }
}

TEST(KeyedDropout, KeepsTheShapeAndTakesAnyLayout) {
  const at::Tensor x = values(6, 60, at::kFloat);
  const at::Tensor ids = ids_of(6), flat = keyed_dropout(x, ids, 0.3, kKey, 0, 2);
  const at::Tensor shaped = keyed_dropout(x.view({6, 3, 4, 5}), ids, 0.3, kKey, 0, 2);
  EXPECT_EQ(shaped.sizes(), (std::vector<int64_t>{6, 3, 4, 5}));
  EXPECT_TRUE(at::equal(shaped.view({6, 60}), flat));
  const at::Tensor scattered = x.t().contiguous().t();
  EXPECT_TRUE(at::equal(keyed_dropout(scattered, ids, 0.3, kKey, 0, 2), flat));
  const at::Tensor every_second = at::stack({ids, ids + 5}, 1).select(1, 0);
  ASSERT_FALSE(every_second.is_contiguous());
  EXPECT_TRUE(at::equal(keyed_dropout(x, every_second, 0.3, kKey, 0, 2), flat));
}

TEST(KeyedDropout, ThreadsAndSplitsChangeNoBit) {
  const at::Tensor x = values(64, 4099, at::kFloat), ids = ids_of(64);
  at::Tensor one, two;
  {
    const Threads threads(1);
    one = keyed_dropout(x, ids, 0.3, kKey, 0, 1);
  }
  {
    const Threads threads(2);
    two = keyed_dropout(x, ids, 0.3, kKey, 0, 1);
  }
  EXPECT_TRUE(at::equal(one, two));
  std::vector<at::Tensor> parts;
  for (const auto& [begin, end] : {std::pair(0, 5), std::pair(5, 5), std::pair(5, 64)})
    parts.push_back(
        keyed_dropout(x.slice(0, begin, end), ids.slice(0, begin, end), 0.3, kKey, 0, 1));
  EXPECT_TRUE(at::equal(at::cat(parts), one));
}

TEST(KeyedDropout, OrderOfTheSamplesMovesTheMasksWithThem) {
  const at::Tensor x = values(9, 65, at::kDouble), ids = ids_of(9);
  const at::Tensor order = at::arange(8, -1, -1, at::kLong);
  const at::Tensor y = keyed_dropout(x, ids, 0.5, kKey, 0, 1);
  const at::Tensor moved =
      keyed_dropout(x.index_select(0, order), ids.index_select(0, order), 0.5, kKey, 0, 1);
  EXPECT_TRUE(at::equal(moved, y.index_select(0, order)));
}

TEST(KeyedDropout, ViewSiteStepAndSampleEachChangeTheMask) {
  const at::Tensor x = at::ones({1, 4000}, at::kFloat), ids = ids_of(1);
  const at::Tensor base = keyed_dropout(x, ids, 0.5, kKey, 0, 1);
  const PhiloxKey next = random_key(11, Purpose::kDropout, 1235);
  for (const at::Tensor& other :
       {keyed_dropout(x, ids, 0.5, kKey, 1, 1), keyed_dropout(x, ids, 0.5, kKey, 0, 2),
        keyed_dropout(x, ids + 1, 0.5, kKey, 0, 1), keyed_dropout(x, ids, 0.5, next, 0, 1)}) {
    const auto differing = at::ne(base, other).sum().item<int64_t>();
    EXPECT_NEAR(static_cast<double>(differing), 2000, 5 * std::sqrt(1000));
  }
}

TEST(KeyedDropout, KeepsItsShare) {
  constexpr int64_t kElements = 400000;
  const at::Tensor x = at::ones({40, kElements / 40}, at::kFloat);
  for (const double p : {0.1, 0.3, 0.5, 0.9}) {
    const at::Tensor y = keyed_dropout(x, ids_of(40), p, kKey, 0, 3);
    const auto kept = static_cast<double>(at::ne(y, 0).sum().item<int64_t>());
    EXPECT_NEAR(kept, (1 - p) * kElements, 5 * std::sqrt(kElements * p * (1 - p)));
  }
}

TEST(KeyedDropout, EmptyAndIdleCases) {
  at::Tensor none = at::zeros({0, 5}, at::kFloat).requires_grad_();
  const at::Tensor y = keyed_dropout(none, at::zeros({0}, at::kLong), 0.5, kKey, 0, 0);
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{0, 5}));
  y.sum().backward();
  EXPECT_TRUE(none.grad().defined());
  const at::Tensor x = values(3, 4, at::kFloat);
  EXPECT_TRUE(at::equal(keyed_dropout(x, ids_of(3), 0.0, kKey, 0, 0), x));
}

TEST(KeyedDropout, RefusesWhatItCannotDo) {
  const at::Tensor x = values(3, 4, at::kFloat), ids = ids_of(3);
  for (const double p : {-0.1, 1.0, 1.5, std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THROW(keyed_dropout(x, ids, p, kKey, 0, 0), c10::Error) << p;
  EXPECT_THROW(keyed_dropout(x, ids_of(2), 0.5, kKey, 0, 0), c10::Error);
  EXPECT_THROW(keyed_dropout(x, ids.to(at::kInt), 0.5, kKey, 0, 0), c10::Error);
  EXPECT_THROW(keyed_dropout(x.to(at::kHalf), ids, 0.5, kKey, 0, 0), c10::Error);
  EXPECT_THROW(keyed_dropout(x, ids, 0.5, kKey, 16, 0), c10::Error);
  EXPECT_THROW(keyed_dropout(x, ids, 0.5, kKey, 0, 4096), c10::Error);
}

double seconds_of(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// This thread's share of the processor time that `rounds` dropouts take.
double share_of_the_caller(int threads, int rounds) {
  const Threads guard(threads);
  const at::Tensor x = at::ones({256, 16384}, at::kFloat), ids = ids_of(256);
  keyed_dropout(x, ids, 0.3, kKey, 0, 1);
  const double thread = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  const double process = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < rounds; ++i) keyed_dropout(x, ids, 0.3, kKey, 0, 1);
  return (seconds_of(CLOCK_THREAD_CPUTIME_ID) - thread) /
         (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - process);
}

// A room compiled without OpenMP runs at::parallel_for on one thread and says nothing.
TEST(ParallelFor, TheRoomsLoopsUseTwoThreads) {
  EXPECT_GT(share_of_the_caller(1, 30), 0.9);
  EXPECT_LT(share_of_the_caller(2, 60), 0.75);
}

}  // namespace
}  // namespace cltrain
