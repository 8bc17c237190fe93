#include "data/subset.h"

#include "data/view_maker.h"

#include <utility>

namespace cltrain {
namespace {

/// Views of the picked samples, by what makes those of the whole set.
class PickedViews : public ViewMaker {
 public:
  PickedViews(std::unique_ptr<ViewMaker> whole, const std::vector<int64_t>& ids)
      : ViewMaker(whole->shape()), whole_(std::move(whole)), ids_(ids) {}

  void make(int64_t position, PhiloxKey key, std::span<float* const> outs) const override {
    whole_->make(at(position), key, outs);
  }
  int64_t plain_views() const override { return whole_->plain_views(); }
  void make_plain(int64_t position, float* out) const override {
    whole_->make_plain(at(position), out);
  }
  std::vector<Image> originals(int64_t position, PhiloxKey key) const override {
    return whole_->originals(at(position), key);
  }

 private:
  int64_t at(int64_t position) const { return ids_.at(static_cast<size_t>(position)); }

  std::unique_ptr<ViewMaker> whole_;
  const std::vector<int64_t>& ids_;
};

class Subset : public Dataset {
 public:
  Subset(std::unique_ptr<Dataset> whole, std::vector<int64_t> ids, std::string list_name)
      : whole_(std::move(whole)), ids_(std::move(ids)), list_name_(std::move(list_name)) {}

  int64_t size() const override { return static_cast<int64_t>(ids_.size()); }
  Image image(int64_t position) const override { return whole_->image(at(position)); }
  RawImage raw(int64_t position) const override { return whole_->raw(at(position)); }
  std::unique_ptr<ViewMaker> views(const AugmentOptions& options) const override {
    return std::make_unique<PickedViews>(whole_->views(options), ids_);
  }
  int64_t label(int64_t position) const override { return whole_->label(at(position)); }
  int64_t classes() const override { return whole_->classes(); }
  int64_t source_id(int64_t position) const override { return whole_->source_id(at(position)); }
  std::string describe() const override {
    return std::to_string(size()) + " samples picked by " + list_name_ + " of " +
           whole_->describe();
  }

 private:
  int64_t at(int64_t position) const { return ids_.at(static_cast<size_t>(position)); }

  std::unique_ptr<Dataset> whole_;
  std::vector<int64_t> ids_;
  std::string list_name_;
};

}  // namespace

std::unique_ptr<Dataset> pick(std::unique_ptr<Dataset> whole, std::vector<int64_t> ids,
                              const std::string& list_name) {
  if (ids.empty())
    throw DataError(list_name + ": an empty list; data.index_list needs at least one training id");
  std::vector<bool> seen(static_cast<size_t>(whole->size()));
  for (size_t at = 0; at < ids.size(); ++at) {
    const std::string where =
        list_name + ": id " + std::to_string(ids[at]) + " at place " + std::to_string(at);
    if (ids[at] < 0 || ids[at] >= whole->size())
      throw DataError(where + ", expected 0 to " + std::to_string(whole->size() - 1) + " (" +
                      whole->describe() + "): set data.index_list to a list of this data set");
    if (seen[static_cast<size_t>(ids[at])])
      throw DataError(where + " is there already, expected each image at most once");
    seen[static_cast<size_t>(ids[at])] = true;
  }
  return std::make_unique<Subset>(std::move(whole), std::move(ids), list_name);
}

}  // namespace cltrain
