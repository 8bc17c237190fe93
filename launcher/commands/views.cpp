// cltrain views: samples of the training set, each beside its views, as one PNG. The samples are
// the first of an epoch, the draws those of training: what a run with this config is fed.
#include "data/views.h"

#include "data/sampler.h"
#include "data/write_png.h"
#include "dist/exit_codes.h"
#include "eval/contact_sheet.h"
#include "launcher/commands/commands.h"
#include "launcher/opened_run.h"

#include <algorithm>
#include <cstdio>

#include <ATen/ops/empty.h>

namespace cltrain {
namespace {

constexpr int64_t kViews = 2;

class ViewsCommand : public Command {
 public:
  void describe(OptionTable& flags) override {
    cltrain::describe(flags, choice_, /*with_weights=*/false);
    flags.add("--out", out_, {.doc = "the picture, a .png file"});
    flags.add("--samples", samples_, {.doc = "how many samples", .min = 1, .max = 256});
    flags.add("--epoch", epoch_, {.doc = "the epoch whose order and views are drawn", .min = 0});
  }

  int run(const Invocation& invocation) override {
    check_output("--out", out_, ".png");
    const auto read = read_run_options(choice_, invocation.overrides);
    const DatasetPair data = open_datasets(read->options.data);
    const auto seed = static_cast<uint64_t>(read->options.train.run.seed);
    const std::vector<int64_t> order = epoch_order(seed, epoch_, data.train->size());
    std::vector<SheetCell> cells;
    for (int64_t i = 0; i < std::min(samples_, data.train->size()); ++i)
      add_sample(*data.train, order[static_cast<size_t>(i)], read->options.augment, seed, cells);
    const int64_t side = std::clamp<int64_t>(read->options.augment.size, 96, 256);
    write_png(out_, contact_sheet(cells, {.columns = 1 + kViews, .side = side}));
    std::printf("wrote %s: the first %zu samples of epoch %lld, seed %llu\n", out_.c_str(),
                cells.size() / (1 + kViews), static_cast<long long>(epoch_),
                static_cast<unsigned long long>(seed));
    return kDone;
  }

 private:
  void add_sample(const Dataset& dataset, int64_t position, const AugmentOptions& options,
                  uint64_t seed, std::vector<SheetCell>& cells) const {
    const int64_t id = dataset.source_id(position), label = dataset.label(position);
    cells.push_back({.image = dataset.image(position),
                     .caption = std::to_string(id) + (label < 0 ? "" : " " + std::to_string(label)),
                     .framed = true});
    const at::Tensor views = at::empty({kViews, 3, options.size, options.size}, at::kFloat);
    std::vector<float*> outs;
    for (int64_t view = 0; view < kViews; ++view)
      outs.push_back(views.select(0, view).mutable_data_ptr<float>());
    make_views(dataset.raw(position), options,
               random_key(seed, Purpose::kAugmentation, static_cast<uint64_t>(epoch_)),
               static_cast<uint64_t>(id), outs);
    for (int64_t view = 0; view < kViews; ++view)
      cells.push_back({.image = image_of_view(views.select(0, view), options.mean, options.std)});
  }

  RunChoice choice_;
  std::string out_ = "views.png";
  int64_t samples_ = 8, epoch_ = 0;
};

}  // namespace

std::unique_ptr<Command> make_views_command() {
  return std::make_unique<ViewsCommand>();
}

}  // namespace cltrain
