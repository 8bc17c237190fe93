#include "data/row_maker.h"

#include "data/augment.h"

#include <array>
#include <stdexcept>
#include <utility>

namespace cltrain {
namespace {

constexpr int64_t kMostViews = 16;

std::vector<RowField> view_fields(const ViewShape& shape, int64_t views) {
  std::vector<RowField> fields;
  for (int64_t view = 0; view < views; ++view)
    fields.push_back({"view" + std::to_string(view), shape});
  return fields;
}

std::unique_ptr<ViewMaker> checked_maker(const Dataset& dataset, const AugmentOptions& augment,
                                         int64_t views) {
  if (views < 1 || views > kMostViews)
    throw std::invalid_argument("loader: views = " + std::to_string(views) + "; allowed: 1 to 16");
  std::string found;
  for (const std::string& problem : problems(augment, views))
    found += (found.empty() ? "" : "\n") + problem;
  if (!found.empty()) throw std::invalid_argument(found);
  return dataset.views(augment);
}

}  // namespace

ViewRows::ViewRows(const Dataset& dataset, const AugmentOptions& augment, int64_t views)
    : ViewRows(checked_maker(dataset, augment, views), views) {}

ViewRows::ViewRows(std::unique_ptr<ViewMaker> maker, int64_t views)
    : RowMaker(view_fields(maker->shape(), views)), maker_(std::move(maker)) {}

void ViewRows::make(int64_t position, PhiloxKey key, std::span<std::byte* const> outs) const {
  std::array<float*, kMostViews> views{};
  for (size_t i = 0; i < outs.size(); ++i) views[i] = reinterpret_cast<float*>(outs[i]);
  maker_->make(position, key, std::span<float* const>(views.data(), outs.size()));
}

}  // namespace cltrain
