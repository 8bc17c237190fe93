// nearest_by_topk and nearest_by_faiss.
#include "eval/nearest.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isnan.h>
#include <ATen/ops/where.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/Exception.h>
#include <faiss/IndexFlat.h>

namespace cltrain {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();

// Similarity and position in one whole number that sorts as the pair should, so that top-k has no
// ties to decide by chance: the float's bits made monotonic, then the position backwards.
at::Tensor keys_of(const at::Tensor& similarity, int64_t first) {
  const at::Tensor bits = (similarity + 0.0).view(at::kInt);  // + 0.0: -0 counts as 0
  const at::Tensor ordered = bits.__xor__(bits.__rshift__(31).__and__(0x7FFFFFFF)).to(at::kLong);
  const at::Tensor backwards = at::arange(similarity.size(1), ordered.options())
                                   .neg()
                                   .add_(std::numeric_limits<uint32_t>::max() - first);
  return ordered.__lshift__(32).__or__(backwards.unsqueeze(0));
}

Neighbours from_keys(const at::Tensor& keys) {
  const at::Tensor ordered = keys.__rshift__(32).to(at::kInt);
  const at::Tensor bits = ordered.__xor__(ordered.__rshift__(31).__and__(0x7FFFFFFF));
  const at::Tensor similarity = bits.view(at::kFloat);
  const at::Tensor position =
      keys.__and__(0xFFFFFFFF).neg().add_(std::numeric_limits<uint32_t>::max());
  return {similarity,
          at::where(similarity == kNone, at::full({}, -1, position.options()), position)};
}

void check(const at::Tensor& base, const at::Tensor& queries, int64_t k) {
  TORCH_CHECK(base.dim() == 2 && queries.dim() == 2 && base.size(1) == queries.size(1) &&
                  base.scalar_type() == at::kFloat && queries.scalar_type() == at::kFloat &&
                  base.device() == queries.device() && k >= 1 &&
                  base.size(0) < std::numeric_limits<int32_t>::max(),
              "nearest neighbours: base [n < 2^31, D] and queries [q, D] must be float32 on one "
              "device, k at least 1; received ",
              base.sizes(), " ", base.scalar_type(), " on ", base.device(), ", ", queries.sizes(),
              " ", queries.scalar_type(), " on ", queries.device(), ", k ", k);
}

}  // namespace

Neighbours nearest_by_topk(const at::Tensor& base, const at::Tensor& queries, int64_t k,
                           int64_t chunk) {
  check(base, queries, k);
  TORCH_CHECK(chunk >= 1, "nearest neighbours: chunks of at least 1 row; received ", chunk);
  const c10::NoGradGuard no_grad;
  const at::NoTF32Guard no_tf32;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  std::vector<at::Tensor> similarity{at::empty({0, k}, queries.options())};
  std::vector<at::Tensor> position{at::empty({0, k}, queries.options().dtype(at::kLong))};
  for (int64_t row = 0; row < queries.size(0); row += chunk) {
    const at::Tensor some = queries.narrow(0, row, std::min(chunk, queries.size(0) - row));
    // -inf at the last place fills up what the base is too small for.
    at::Tensor best =
        keys_of(at::full({some.size(0), 1}, kNone, some.options()), 0).expand({-1, k}).clone();
    for (int64_t first = 0; first < base.size(0); first += chunk) {
      const at::Tensor part = base.narrow(0, first, std::min(chunk, base.size(0) - first));
      at::Tensor product = some.mm(part.t());  // [chunk, chunk]
      product.masked_fill_(at::isnan(product), kNone);
      const at::Tensor keys = keys_of(product, first);
      const at::Tensor mine = std::get<0>(keys.topk(std::min(k, part.size(0)), 1));
      best = std::get<0>(at::cat({best, mine}, 1).topk(k, 1));
    }
    const Neighbours found = from_keys(best);
    similarity.push_back(found.similarity);
    position.push_back(found.position);
  }
  return {at::cat(similarity), at::cat(position)};
}

Neighbours nearest_by_faiss(const at::Tensor& base, const at::Tensor& queries, int64_t k) {
  check(base, queries, k);
  TORCH_CHECK(base.device().is_cpu(), "faiss searches on the CPU; received ", base.device());
  faiss::IndexFlatIP index(base.size(1));
  const at::Tensor rows = base.contiguous(), wanted = queries.contiguous();
  if (rows.size(0) > 0) index.add(rows.size(0), rows.const_data_ptr<float>());
  const int64_t total = wanted.size(0), reach = std::min<int64_t>(k, index.ntotal);
  Neighbours found{at::full({total, k}, kNone, at::kFloat), at::full({total, k}, -1, at::kLong)};
  if (total == 0 || reach == 0) return found;
  std::vector<float> similarity(total * reach);
  std::vector<faiss::Index::idx_t> place(total * reach);
  index.search(total, wanted.const_data_ptr<float>(), reach, similarity.data(), place.data());
  auto* to = found.similarity.mutable_data_ptr<float>();
  auto* position = found.position.mutable_data_ptr<int64_t>();
  std::vector<int64_t> order(reach);
  for (int64_t q = 0; q < total; ++q) {
    const float* s = similarity.data() + q * reach;
    const auto* p = place.data() + q * reach;
    std::iota(order.begin(), order.end(), 0);
    // What faiss did not find is -1: a query or a row that is not a number.
    order.erase(std::remove_if(order.begin(), order.end(), [&](int64_t i) { return p[i] < 0; }),
                order.end());
    std::sort(order.begin(), order.end(),
              [&](int64_t a, int64_t b) { return s[a] > s[b] || (s[a] == s[b] && p[a] < p[b]); });
    for (size_t j = 0; j < order.size(); ++j) {
      to[q * k + j] = s[order[j]];
      position[q * k + j] = p[order[j]];
    }
    order.resize(reach);
  }
  return found;
}

}  // namespace cltrain
