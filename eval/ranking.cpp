#include "eval/ranking.h"

#include "eval/tile_product.h"
#include "ops/simd.h"

#include <algorithm>
#include <limits>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <c10/util/Exception.h>

namespace cltrain {
namespace {

constexpr int64_t kPanel = PackedRows::kPanel;
constexpr int64_t kBlock = 128;  // users of a task; with a panel they fill the second-level cache

// ahead[u] += candidates of a tile [users, kPanel] that are ahead of user u's answer.
CLTRAIN_SIMD void count_ahead(const float* score, int64_t users, int32_t first, int32_t columns,
                              const float* target, const int32_t* answer, int32_t* ahead) {
  for (int64_t u = 0; u < users; ++u, score += kPanel) {
    const float own = target[u];
    const int32_t below = answer[u] - first;  // columns before it have smaller ids
    int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int32_t j = 0; j < columns; ++j)
      sum += (score[j] > own) | ((score[j] == own) & (j < below));
    ahead[u] += sum;
  }
}

bool is_ahead(float score, int32_t id, float own, int32_t answer) {
  return score > own || (score == own && id < answer);
}

double largest_value(const at::Tensor& values, const char* what) {
  if (values.numel() == 0) return 0;
  const double largest = values.abs().max().item<double>();  // a NaN wins
  if (largest <= std::numeric_limits<double>::max()) return largest;
  const at::Tensor sound = at::isfinite(values).all(1).cpu();
  const auto* row = sound.const_data_ptr<bool>();
  TORCH_CHECK(
      false, "ranking: ", what, " are not finite from row ",
      std::find(row, row + sound.size(0), false) - row, " of ", sound.size(0),
      " on: did the training diverge? Evaluate an earlier checkpoint, or train with a lower "
      "learning rate");
}

}  // namespace

// Some users of one call: what all threads read, and where the ranks go.
struct ItemRanking::Block {
  const RankingQueries& queries;
  const float* representations;  // of all users of the call
  const int64_t* answers;
  const std::vector<uint8_t>& again;  // the answer is in the history
  int64_t begin, end;
  int64_t* rank;
};

struct ItemRanking::Scratch {
  std::vector<int32_t> seen, ids;    // ids whose scores are wanted one by one
  std::vector<float> packed, score;  // their rows side by side; what came out
  std::vector<float> tile, target;
  std::vector<int32_t> answer, ahead;
};

ItemRanking::ItemRanking(const at::Tensor& items, RankingOptions options,
                         std::shared_ptr<const NegativeSampler> negatives)
    : options_(std::move(options)), negatives_(std::move(negatives)) {
  TORCH_CHECK(items.dim() == 2 && items.size(0) >= 3 && items.size(1) >= 1 &&
                  items.size(0) < std::numeric_limits<int32_t>::max() &&
                  (items.scalar_type() == at::kFloat || items.scalar_type() == at::kDouble),
              "ranking: the item table must be [V, d] float32 or float64 with 3 <= V < 2^31; "
              "received ",
              items.sizes(), " ", items.scalar_type());
  const std::string &history = options_.history, &among = options_.candidates;
  TORCH_CHECK(history == "zero" || history == "exclude" || history == "keep",
              "ranking: history must be zero, exclude or keep; received '", history, "'");
  TORCH_CHECK(among == "all_ids" || among == "items",
              "ranking: candidates must be all_ids or items; received '", among, "'");
  TORCH_CHECK(!negatives_ || negatives_->items() == items.size(0) - 2,
              "ranking: negatives are drawn from ", negatives_ ? negatives_->items() : 0,
              " items, and the table has ", items.size(0) - 2);
  first_ = among == "items" ? 1 : 0;
  candidates_ = items.size(0) - 2 * first_;
  items_ = items.detach().contiguous();
  largest_ = largest_value(items_, "the rows of the item table");
  if (has_tiles() && !negatives_) packed_.emplace(items_.narrow(0, first_, candidates_));
}

bool ItemRanking::has_tiles() const {
  return items_.scalar_type() == at::kFloat && items_.device().is_cpu();
}

RankingTally ItemRanking::tally() const {
  if (!negatives_) return RankingTally(candidates_, options_.cutoffs);
  return RankingTally(negatives_->count() + 1, options_.cutoffs,
                      "sampled_" + std::to_string(negatives_->count()));
}

void ItemRanking::check(const RankingQueries& queries) const {
  const at::Tensor &x = queries.representations, &answers = queries.answers, &users = queries.users;
  TORCH_CHECK(x.dim() == 2 && x.size(1) == items_.size(1) &&
                  x.scalar_type() == items_.scalar_type() && x.device() == items_.device(),
              "ranking: representations must be [n, ", items_.size(1), "] ", items_.scalar_type(),
              " on ", items_.device(), ", as the item table; received ", x.sizes(), " ",
              x.scalar_type(), " on ", x.device());
  const int64_t n = x.size(0), items = items_.size(0) - 2;
  TORCH_CHECK(answers.dim() == 1 && answers.size(0) == n && answers.scalar_type() == at::kLong &&
                  answers.device().is_cpu() && answers.is_contiguous(),
              "ranking: answers must be [", n, "] int64, contiguous on the CPU; received ",
              answers.sizes(), " ", answers.scalar_type(), " on ", answers.device());
  const auto* answer = answers.const_data_ptr<int64_t>();
  for (int64_t u = 0; u < n; ++u)
    TORCH_CHECK(answer[u] >= 1 && answer[u] <= items, "ranking: the answer of row ", u, " is ",
                answer[u], "; allowed: the items 1 to ", items);
  check_item_lists(queries.history, n, items, "ranking, histories");
  if (negatives_)
    TORCH_CHECK(users.defined() && users.dim() == 1 && users.size(0) == n &&
                    users.scalar_type() == at::kLong && users.device().is_cpu() &&
                    users.is_contiguous(),
                "ranking: a sampled ranking needs users [", n,
                "] int64, contiguous on the CPU: negatives are drawn by user");
  const double bound =
      largest_ * largest_value(x, "the representations") * static_cast<double>(items_.size(1));
  TORCH_CHECK(bound < (x.scalar_type() == at::kFloat ? double{std::numeric_limits<float>::max()}
                                                     : std::numeric_limits<double>::max()) /
                          4,
              "ranking: values of up to ", largest_, " in the item table and ",
              largest_value(x, "the representations"), " in the representations make scores that ",
              x.scalar_type(), " cannot hold: did the training diverge?");
}

AnswerRanks ItemRanking::rank(const RankingQueries& queries) const {
  check(queries);
  const int64_t n = queries.representations.size(0);
  const auto* answers = queries.answers.const_data_ptr<int64_t>();
  std::vector<uint8_t> again(static_cast<size_t>(n));
  for (int64_t u = 0; u < n; ++u) {
    const auto seen = queries.history.of(u);
    again[u] = std::find(seen.begin(), seen.end(), answers[u]) != seen.end();
  }
  AnswerRanks ranks{at::empty({n}, at::kLong), std::count(again.begin(), again.end(), 1)};
  if (n > 0 && has_tiles()) {
    const at::Tensor rows = queries.representations.contiguous();
    const auto* from = rows.const_data_ptr<float>();
    auto* to = ranks.rank.mutable_data_ptr<int64_t>();
    // Few users are cut finer, so that every thread has some.
    const int64_t size = std::clamp<int64_t>(n / at::get_num_threads(), 8, kBlock);
    at::parallel_for(0, (n + size - 1) / size, 1, [&](int64_t begin, int64_t end) {
      Scratch scratch;
      for (int64_t b = begin; b < end; ++b) {
        const Block block{queries, from, answers, again, b * size, std::min(n, (b + 1) * size), to};
        negatives_ ? rank_sampled(block, scratch) : rank_full(block, scratch);
      }
    });
  } else if (n > 0) {
    ranks.rank = negatives_ ? sampled_by_torch(queries, again) : full_by_torch(queries);
  }
  if (options_.history == "exclude") {
    auto* rank = ranks.rank.mutable_data_ptr<int64_t>();
    for (int64_t u = 0; u < n; ++u)
      if (again[u]) rank[u] = 0;
  }
  return ranks;
}

// scratch.score = the scores of scratch.ids, with the bits that the tiles give them.
void ItemRanking::score(const float* user, Scratch& scratch) const {
  const int64_t width = items_.size(1), count = static_cast<int64_t>(scratch.ids.size());
  const int64_t columns = tile_columns(count);
  scratch.packed.resize(static_cast<size_t>(columns * width));
  scratch.score.resize(static_cast<size_t>(columns));
  const float* table = items_.const_data_ptr<float>();
  for (int64_t c = 0; c < columns; ++c) {
    const float* row = table + (c < count ? scratch.ids[c] : 0) * width;  // the rest is not read
    for (int64_t d = 0; d < width; ++d) scratch.packed[d * columns + c] = row[d];
  }
  tile_product({user, width, 1}, 1, scratch.packed.data(), columns, columns, width,
               scratch.score.data(), columns);
}

// Histories are put right ahead of the tiles: what a seen item will add there is taken off, and
// what it counts by the protocol is put on.
void ItemRanking::rank_full(const Block& block, Scratch& scratch) const {
  const int64_t width = items_.size(1), count = block.end - block.begin;
  const bool zero = options_.history == "zero", keep = options_.history == "keep";
  scratch.tile.resize(static_cast<size_t>(kBlock * kPanel));
  scratch.target.assign(static_cast<size_t>(count), 0);
  scratch.answer.assign(static_cast<size_t>(count), 0);
  scratch.ahead.assign(static_cast<size_t>(count), 0);
  for (int64_t u = 0; u < count; ++u) {
    const int64_t row = block.begin + u;
    const auto answer = static_cast<int32_t>(block.answers[row]);
    scratch.seen.clear();
    if (!keep) sorted_once(block.queries.history.of(row), scratch.seen);
    scratch.ids = scratch.seen;
    scratch.ids.push_back(answer);
    score(block.representations + row * width, scratch);
    const float own = zero && block.again[row] ? 0.0F : scratch.score[scratch.seen.size()];
    for (size_t i = 0; i < scratch.seen.size(); ++i) {
      const int32_t id = scratch.seen[i];
      scratch.ahead[u] -= is_ahead(scratch.score[i], id, own, answer);
      if (zero) scratch.ahead[u] += is_ahead(0, id, own, answer);
    }
    scratch.target[u] = own;
    scratch.answer[u] = answer;
  }
  const float* users = block.representations + block.begin * width;
  for (int64_t panel = 0; panel < packed_->panels(); ++panel) {
    tile_product({users, width, 1}, count, packed_->panel(panel), kPanel, kPanel, width,
                 scratch.tile.data(), kPanel);
    count_ahead(scratch.tile.data(), count, static_cast<int32_t>(first_ + panel * kPanel),
                static_cast<int32_t>(packed_->rows_in(panel)), scratch.target.data(),
                scratch.answer.data(), scratch.ahead.data());
  }
  for (int64_t u = 0; u < count; ++u) block.rank[block.begin + u] = 1 + scratch.ahead[u];
}

void ItemRanking::rank_sampled(const Block& block, Scratch& scratch) const {
  const int64_t width = items_.size(1), drawn = negatives_->count();
  const auto* users = block.queries.users.const_data_ptr<int64_t>();
  for (int64_t row = block.begin; row < block.end; ++row) {
    const auto answer = static_cast<int32_t>(block.answers[row]);
    scratch.ids.resize(static_cast<size_t>(drawn + 1));
    negatives_->draw(users[row], block.queries.history.of(row), answer, scratch.ids.data());
    scratch.ids[drawn] = answer;
    score(block.representations + row * width, scratch);
    const bool zero = options_.history == "zero" && block.again[row];
    const float own = zero ? 0.0F : scratch.score[drawn];
    block.rank[row] = 1;
    for (int64_t i = 0; i < drawn; ++i)
      block.rank[row] += is_ahead(scratch.score[i], scratch.ids[i], own, answer);
  }
}

at::Tensor popularity_table(const at::Tensor& counts) {
  TORCH_CHECK(counts.dim() == 1 && counts.scalar_type() == at::kLong && counts.device().is_cpu() &&
                  counts.size(0) >= 3,
              "popularity: counts must be [V] int64 on the CPU, one an id; received ",
              counts.sizes(), " ", counts.scalar_type());
  const at::Tensor rows = counts.contiguous();
  const auto* count = rows.const_data_ptr<int64_t>();
  std::vector<int64_t> distinct(count, count + rows.size(0));
  distinct.push_back(0);
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  TORCH_CHECK(distinct.front() == 0, "popularity: a count is negative: ", distinct.front());
  TORCH_CHECK(distinct.size() <= size_t{1} << 24,
              "popularity: more than 2^24 distinct counts; received ", distinct.size());
  at::Tensor table = at::empty({rows.size(0), 1}, at::kFloat);
  auto* to = table.mutable_data_ptr<float>();
  for (int64_t id = 0; id < rows.size(0); ++id)
    to[id] = static_cast<float>(std::lower_bound(distinct.begin(), distinct.end(), count[id]) -
                                distinct.begin());
  return table;
}

RankingResult rank_answers(const ItemRanking& ranking, const RankingQueries& queries,
                           const Communicator& communicator) {
  RankingTally tally = ranking.tally();
  tally.add(ranking.rank(queries));
  return tally.total(communicator);
}

}  // namespace cltrain
