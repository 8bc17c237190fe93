#include "eval/features.h"

#include "data/plain_images.h"
#include "data/sampler.h"

#include <algorithm>

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

namespace cltrain {

Features embed_share(const Dataset& dataset, const AugmentOptions& views, const Embed& embed,
                     const EmbedSettings& settings) {
  const c10::NoGradGuard no_grad;
  const RowRange share = rank_share(dataset.size(), settings.rank, settings.size);
  std::vector<at::Tensor> parts;
  // A rank without rows embeds an empty batch, so that it knows the feature width.
  int64_t begin = share.begin;
  do {
    const int64_t end = std::min(begin + settings.batch, share.end);
    const at::Tensor images = plain_images(dataset, {begin, end}, views, settings.workers);
    parts.push_back(embed(images).to(c10::kCPU, at::kFloat));
    begin = end;
  } while (begin < share.end);
  at::Tensor labels = at::empty({share.count()}, at::kLong);
  auto* label = labels.mutable_data_ptr<int64_t>();
  for (int64_t row = share.begin; row < share.end; ++row) *label++ = dataset.label(row);
  return {at::cat(parts), labels};
}

}  // namespace cltrain
