#include "ops/token_dropout.h"

#include "ops/dropout.h"

#include <algorithm>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

namespace cltrain {

void check_dropout(const TokenDropout& dropout, const TokenRows& rows) {
  TORCH_CHECK(dropout.probability >= 0 && dropout.probability < 1, "dropout probability ",
              dropout.probability, "; allowed: 0 <= p < 1");
  if (dropout.probability == 0) return;
  TORCH_CHECK(dropout.sample_ids.defined() && dropout.sample_ids.scalar_type() == at::kLong &&
                  dropout.sample_ids.dim() == 1 && dropout.sample_ids.size(0) == rows.rows(),
              "dropout of tokens: sample_ids is int64 [B] with B = ", rows.rows(), "; received ",
              dropout.sample_ids.defined() ? dropout.sample_ids.toString() : "none");
  TORCH_CHECK(dropout.view < 16 && dropout.site < 4096, "dropout of tokens: view ", dropout.view,
              ", site ", dropout.site, " do not fit; allowed: below 16 and 4096");
}

void token_keep(const TokenRows& rows, const TokenDropout& dropout, int64_t channels, int64_t begin,
                int64_t end, uint8_t* keep) {
  const auto* offset = rows.row_offsets.const_data_ptr<int64_t>();
  const auto* id = dropout.sample_ids.const_data_ptr<int64_t>();
  const uint32_t threshold = dropout_threshold(dropout.probability);
  int64_t row = std::upper_bound(offset, offset + rows.rows() + 1, begin) - offset - 1;
  for (int64_t token = begin; token < end; ++row) {
    const int64_t next = std::min(offset[row + 1], end);
    const int64_t slot = rows.length - (offset[row + 1] - token);
    dropout_keep(keep + (token - begin) * channels, (next - token) * channels, id[row],
                 static_cast<uint64_t>(slot * channels), threshold, dropout.key, dropout.view,
                 dropout.site);
    token = next;
  }
}

at::Tensor token_dropout(const at::Tensor& x, const TokenRows& rows, const TokenDropout& dropout) {
  check_dropout(dropout, rows);
  if (dropout.probability == 0) return x;
  const int64_t channels = x.size(1);
  if (x.is_cuda())
    return keyed_dropout(to_padded(x, rows).flatten(1), dropout.sample_ids, dropout.probability,
                         dropout.key, dropout.view, dropout.site)
        .view({-1, channels})
        .index_select(0, rows.places);
  TokenDropout local = dropout;
  local.sample_ids = dropout.sample_ids.cpu().contiguous();
  at::Tensor keep = at::empty({x.size(0), channels}, at::kByte);
  auto* out = keep.mutable_data_ptr<uint8_t>();
  at::parallel_for(0, x.size(0), 512, [&](int64_t begin, int64_t end) {
    token_keep(rows, local, channels, begin, end, out + begin * channels);
  });
  return (x * local.scale()).masked_fill(keep.eq(0), 0);
}

}  // namespace cltrain
