#include "eval/features.h"

#include "data/plain_images.h"
#include "data/sampler.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

namespace cltrain {

Features embed_share(const Dataset& dataset, const AugmentOptions& views, const Embed& embed,
                     const EmbedSettings& settings) {
  const c10::NoGradGuard no_grad;
  const RowRange share = rank_share(dataset.size(), settings.rank, settings.size);
  const std::unique_ptr<ViewMaker> maker = dataset.views(views);
  const int64_t samples = std::max<int64_t>(1, settings.batch / maker->plain_views());
  Features features;
  std::vector<at::Tensor> parts;
  std::vector<int64_t> labels, ids;
  // A rank without rows embeds an empty batch, so that it knows the feature width.
  int64_t begin = share.begin;
  do {
    const int64_t end = std::min(begin + samples, share.end);
    const PlainImages images = plain_images(*maker, {begin, end}, settings.workers);
    const at::Tensor of_views = embed(images.pictures).to(c10::kCPU, at::kFloat);  // [n * views, F]
    const auto rows = static_cast<int64_t>(images.positions.size());
    parts.push_back(of_views.reshape({rows, images.views, of_views.size(1)}).mean(1));
    for (const int64_t position : images.positions) {
      labels.push_back(dataset.label(position));
      ids.push_back(dataset.source_id(position));
    }
    if (features.left_out == 0 && !images.left_out.empty())
      features.first_left_out = images.left_out.front();
    features.left_out += static_cast<int64_t>(images.left_out.size());
    begin = end;
  } while (begin < share.end);
  features.vectors = at::cat(parts);
  features.labels = at::tensor(labels, at::kLong);
  features.ids = at::tensor(ids, at::kLong);
  return features;
}

int64_t total_left_out(const Features& share, const SampleSet& dataset,
                       const Communicator& control) {
  at::Tensor counts = at::tensor({share.ids.size(0), share.left_out}, at::kLong);
  control.all_reduce_sum(counts);
  const auto* total = counts.const_data_ptr<int64_t>();
  if (total[0] == 0 && total[1] > 0)
    throw DataError(dataset.describe() + ": not one of its " + std::to_string(total[1]) +
                    " samples can be used, so there is nothing to evaluate" +
                    (share.first_left_out.empty() ? "" : "; " + share.first_left_out));
  return total[1];
}

}  // namespace cltrain
