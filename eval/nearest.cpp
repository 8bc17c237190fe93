#include "eval/nearest.h"

#include "eval/tile_product.h"
#include "ops/simd.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

constexpr int64_t kPanel = PackedRows::kPanel;
constexpr int64_t kBlock = 128;  // queries of a task; with a panel they fill the second-level cache
constexpr float kNone = -std::numeric_limits<float>::infinity();

struct Candidate {
  float similarity;
  int32_t position;
};

bool nearer(const Candidate& a, const Candidate& b) {
  return a.similarity > b.similarity || (a.similarity == b.similarity && a.position < b.position);
}

// above[j] = score[j] > threshold.
CLTRAIN_SIMD void mark_above(const float* score, float threshold, uint8_t* above) {
#pragma omp simd
  for (int64_t j = 0; j < kPanel; ++j) above[j] = score[j] > threshold;
}

// The best k of what one query has seen. Candidates gather until there is no room, then all but
// the best k go. Positions arrive in ascending order, so one that equals the k-th comes too late.
class Shortlist {
 public:
  explicit Shortlist(int64_t k) : k_(k) { held_.reserve(k + std::max<int64_t>(k, 64) + kPanel); }

  void offer(const float* score, int64_t count, int64_t first) {
    alignas(8) uint8_t above[kPanel];
    mark_above(score, threshold_, above);
    for (int64_t j = 0; j < kPanel; j += 8) {
      uint64_t word;
      std::memcpy(&word, above + j, 8);
      for (; word; word &= word - 1) {
        const int64_t at = j + std::countr_zero(word) / 8;
        if (at < count) held_.push_back({score[at], static_cast<int32_t>(first + at)});
      }
    }
    if (static_cast<int64_t>(held_.size()) + kPanel > static_cast<int64_t>(held_.capacity())) cut();
  }

  void finish(float* similarity, int64_t* position) {
    cut();
    std::sort(held_.begin(), held_.end(), nearer);
    for (const Candidate& candidate : held_) {
      *similarity++ = candidate.similarity;
      *position++ = candidate.position;
    }
  }

 private:
  void cut() {
    if (static_cast<int64_t>(held_.size()) <= k_) return;
    std::nth_element(held_.begin(), held_.begin() + (k_ - 1), held_.end(), nearer);
    held_.resize(static_cast<size_t>(k_));
    threshold_ = held_.back().similarity;
  }

  int64_t k_;
  float threshold_ = kNone;
  std::vector<Candidate> held_;
};

void check(const at::Tensor& rows, int64_t width, const char* what) {
  TORCH_CHECK(rows.dim() == 2 && rows.size(1) == width && rows.scalar_type() == at::kFloat &&
                  rows.device().is_cpu(),
              "nearest neighbours: ", what, " must be [n, ", width,
              "] float32 on the CPU; received ", rows.sizes(), " ", rows.scalar_type(), " on ",
              rows.device());
}

const at::Tensor& checked_base(const at::Tensor& base) {
  check(base, base.dim() == 2 ? base.size(1) : 0, "the base");
  TORCH_CHECK(base.size(0) < std::numeric_limits<int32_t>::max(),
              "nearest neighbours: a base of at most 2^31 - 1 rows on one rank; received ",
              base.size(0), ": use more ranks");
  return base;
}

}  // namespace

TiledBase::TiledBase(const at::Tensor& base) : rows_(checked_base(base)) {}

Neighbours TiledBase::search(const at::Tensor& queries, int64_t k) const {
  const int64_t width = rows_.width();
  check(queries, width, "the queries");
  TORCH_CHECK(k >= 1, "nearest neighbours: k must be at least 1; received ", k);
  const int64_t total = queries.size(0), reach = std::min(k, rows());
  Neighbours found{at::full({total, k}, kNone, at::kFloat), at::full({total, k}, -1, at::kLong)};
  if (reach == 0) return found;
  const at::Tensor packed = queries.contiguous();
  const float* from = packed.const_data_ptr<float>();
  auto* similarity = found.similarity.mutable_data_ptr<float>();
  auto* position = found.position.mutable_data_ptr<int64_t>();
  // Few queries are cut finer, so that every thread has some.
  const int64_t block = std::clamp<int64_t>(total / at::get_num_threads(), 8, kBlock);
  at::parallel_for(0, (total + block - 1) / block, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> score(static_cast<size_t>(block * kPanel));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = task * block, count = std::min(block, total - first);
      std::vector<Shortlist> best;
      best.reserve(static_cast<size_t>(count));
      for (int64_t q = 0; q < count; ++q) best.emplace_back(reach);
      for (int64_t panel = 0; panel < rows_.panels(); ++panel) {
        tile_product({from + first * width, width, 1}, count, rows_.panel(panel), kPanel, kPanel,
                     width, score.data(), kPanel);
        for (int64_t q = 0; q < count; ++q)
          best[q].offer(score.data() + q * kPanel, rows_.rows_in(panel), panel * kPanel);
      }
      for (int64_t q = 0; q < count; ++q)
        best[q].finish(similarity + (first + q) * k, position + (first + q) * k);
    }
  });
  return found;
}

}  // namespace cltrain
