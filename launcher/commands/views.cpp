// cltrain views: samples of the training set, each beside its views, as one PNG; of a clip up to
// eight of its frames in a row, and the same frames of each view in a row below. The samples are
// the first of an epoch, the draws those of training: what a run with this config is fed.
#include "data/sampler.h"
#include "data/view_maker.h"
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
constexpr int64_t kMostFrames = 8;  ///< of a clip, on the sheet

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
    require_pictures(read->options, "views");
    const DatasetPair data = open_datasets(read->options.data);
    const auto seed = static_cast<uint64_t>(read->options.train.run.seed);
    const std::vector<int64_t> order = epoch_order(seed, epoch_, data.train->size());
    const AugmentOptions& augment = read->options.augment;
    const std::unique_ptr<ViewMaker> maker = data.train->views(augment);
    const PhiloxKey key = random_key(seed, Purpose::kAugmentation, static_cast<uint64_t>(epoch_));
    const int64_t samples = std::min(samples_, data.train->size());
    std::vector<SheetCell> cells;
    for (int64_t i = 0; i < samples; ++i)
      add_sample(*data.train, *maker, key, order[static_cast<size_t>(i)], augment, cells);
    const auto frames = static_cast<int64_t>(cells.size()) / (samples * (1 + kViews));
    const int64_t side = std::clamp<int64_t>(augment.size, 96, 256);
    write_png(out_,
              contact_sheet(cells, {.columns = frames > 1 ? frames : 1 + kViews, .side = side}));
    std::printf("wrote %s: the first %lld samples of epoch %lld, seed %llu\n", out_.c_str(),
                static_cast<long long>(samples), static_cast<long long>(epoch_),
                static_cast<unsigned long long>(seed));
    return kDone;
  }

 private:
  /// The sample's frames, then those of each view; a picture is one frame.
  static void add_sample(const Dataset& dataset, const ViewMaker& maker, PhiloxKey key,
                         int64_t position, const AugmentOptions& options,
                         std::vector<SheetCell>& cells) {
    const std::vector<Image> originals = maker.originals(position, key);
    const auto count = static_cast<int64_t>(originals.size());
    const int64_t shown = std::min(count, kMostFrames);
    const auto frame_at = [&](int64_t place) { return place * count / shown; };
    const int64_t id = dataset.source_id(position), label = dataset.label(position);
    const std::string name = std::to_string(id) + (label < 0 ? "" : " " + std::to_string(label));
    for (int64_t place = 0; place < shown; ++place)
      cells.push_back({.image = originals[static_cast<size_t>(frame_at(place))],
                       .caption = place == 0 ? name : "",
                       .framed = true});
    const at::Tensor views = at::empty({kViews, 3, count, options.size, options.size}, at::kFloat);
    std::vector<float*> outs;
    for (int64_t view = 0; view < kViews; ++view)
      outs.push_back(views.select(0, view).mutable_data_ptr<float>());
    maker.make(position, key, outs);
    for (int64_t view = 0; view < kViews; ++view)
      for (int64_t place = 0; place < shown; ++place)
        cells.push_back({.image = image_of_view(views.select(0, view).select(1, frame_at(place)),
                                                options.mean, options.std)});
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
