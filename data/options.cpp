#include "data/options.h"

#include "data/augment.h"
#include "data/registry.h"

namespace cltrain {
namespace {

std::string number(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

void check_order(std::vector<std::string>& found, const std::string& low_name, double low,
                 const std::string& high_name, double high) {
  if (low <= high) return;
  found.push_back(low_name + " = " + number(low) + " is larger than " + high_name + " = " +
                  number(high) + ": exchange them, or set both");
}

void check_views(std::vector<std::string>& found, const std::string& name, const PerView& each,
                 int64_t views) {
  const size_t count = each.numbers.size();
  if (count == 1 || count == static_cast<size_t>(views)) return;
  found.push_back(name + " has " + std::to_string(count) +
                  " numbers; allowed: one for all views, or " + std::to_string(views) +
                  ", one a view");
}

void check_channels(std::vector<std::string>& found, const std::string& name,
                    const std::vector<double>& values) {
  if (values.size() == 3) return;
  found.push_back(name + " has " + std::to_string(values.size()) +
                  " numbers; allowed: 3, for red, green and blue");
}

}  // namespace

void describe(OptionTable& table, DataOptions& options) {
  std::string names;
  for (const DataSetRow& row : data_set_table()) names += row.name + ", ";
  table.add("data.name", options.name,
            {.doc = "the data set: " + names +
                    "or for a recommender NAME, which is NAME.txt or NAME.inter in data.root"});
  table.add(
      "data.root", options.root,
      {.doc = "folder of the data set; empty: the data set's default folder, where it has one",
       .safe_to_change = true});
  table.add(
      "data.train", options.train,
      {.doc = "image_folder, tar_shards, video_folder: folder of the training part instead of "
              "data.root/train"});
  table.add(
      "data.val", options.val,
      {.doc = "image_folder, tar_shards, video_folder: folder of the evaluation part instead of "
              "data.root/val"});
  table.add("data.index_list", options.index_list,
            {.doc = "a .npy file of the training ids to use (1-D int64 or int32, official order); "
                    "empty: all"});
  table.add("data.workers", options.workers,
            {.doc = "loader threads a rank; 0: this rank's share of the node's cores",
             .unit = "threads",
             .min = 0,
             .max = 256,
             .safe_to_change = true});
  table.add("data.prefetch", options.prefetch,
            {.doc = "batches prepared ahead of the step",
             .unit = "batches",
             .min = 1,
             .max = 1024,
             .safe_to_change = true});
  table.add("data.drop_last", options.drop_last,
            {.doc = "leave out the last batch of an epoch when it is short"});
  table.add("data.max_bad_ratio", options.max_bad_ratio,
            {.doc = "share of the training samples that may be unreadable or damaged; they are "
                    "replaced and listed in bad_samples.jsonl, and more of them end the run",
             .min = 0,
             .max = 1,
             .safe_to_change = true});
  table.add("data.frames", options.frames,
            {.doc = "videos: frames of a clip",
             .unit = "frames",
             .min = 1,
             .max = static_cast<double>(kMostClipFrames)});
  table.add(
      "data.stride", options.stride,
      {.doc = "videos: distance of a clip's frames in time, in periods of the video's average "
              "frame rate",
       .unit = "frames",
       .min = 1,
       .max = 1024});
  table.add("data.max_length", options.max_length,
            {.doc = "recommenders and click-through models: the network sees the last so many "
                    "items of a user",
             .unit = "items",
             .min = 2,
             .max = 4096});
  table.add("data.min_rating", options.min_rating,
            {.doc = "NAME.inter: leave out interactions that are rated lower; 0: none", .min = 0});
  table.add("data.user_core", options.user_core,
            {.doc = "recommenders: users with fewer interactions are left out, and again until all "
                    "that are left have as many",
             .unit = "interactions",
             .min = 0});
  table.add("data.item_core", options.item_core,
            {.doc = "the same of items", .unit = "interactions", .min = 0});
  table.add(
      "data.click_rating", options.click_rating,
      {.doc = "click-through models on NAME.inter: interactions rated so or higher are clicks"});
  table.add("data.rows", options.rows,
            {.doc = "clicks_synthetic: rows, a fifth of them for the test",
             .unit = "rows",
             .min = 10,
             .max = 10000000});
  table.add("data.eval_clips", options.eval_clips,
            {.doc = "videos: clips of each, evenly spaced, whose features evaluation averages",
             .unit = "clips",
             .min = 1,
             .max = 1024});
}

void describe(OptionTable& table, AugmentOptions& options) {
  const auto probability = [&](const char* name, double& field, const char* doc) {
    table.add(name, field, {.doc = doc, .min = 0, .max = 1});
  };
  const auto above_zero = [&](const char* name, double& field, const char* doc, double max,
                              const char* unit = "") {
    table.add(name, field, {.doc = doc, .unit = unit, .min = 0, .max = max, .above_min = true});
  };
  const auto strength = [&](const char* name, double& field, const char* doc, double max) {
    table.add(name, field, {.doc = doc, .min = 0, .max = max});
  };
  table.add("augment.size", options.size,
            {.doc = "side of a view", .unit = "pixels", .min = 1, .max = 4096});
  above_zero("augment.crop_scale_min", options.crop_scale_min,
             "smallest share of the area in a crop", 1);
  above_zero("augment.crop_scale_max", options.crop_scale_max,
             "largest share of the area in a crop", 1);
  above_zero("augment.ratio_min", options.ratio_min, "smallest width / height of a crop", 100);
  above_zero("augment.ratio_max", options.ratio_max, "largest width / height of a crop", 100);
  probability("augment.flip", options.flip, "probability of a horizontal flip");
  probability("augment.jitter_probability", options.jitter_probability,
              "probability of the colour jitter as a whole");
  strength("augment.brightness", options.brightness, "brightness factor within 1 - x to 1 + x", 10);
  strength("augment.contrast", options.contrast, "contrast factor within 1 - x to 1 + x", 10);
  strength("augment.saturation", options.saturation, "saturation factor within 1 - x to 1 + x", 10);
  strength("augment.hue", options.hue, "hue turned by -x to x of the colour circle", 0.5);
  probability("augment.gray", options.gray, "probability of grey");
  table.add("augment.blur", options.blur.numbers,
            {.doc = "probability of Gaussian blur; a list: of each view",
             .min = 0,
             .max = 1,
             .one_for_all = true});
  above_zero("augment.blur_sigma_min", options.blur_sigma_min, "smallest sigma of the blur", 100,
             "pixels");
  above_zero("augment.blur_sigma_max", options.blur_sigma_max, "largest sigma of the blur", 100,
             "pixels");
  table.add("augment.blur_kernel", options.blur_kernel,
            {.doc = "width of the blur kernel, odd; 0: augment.size / 10, made odd",
             .unit = "pixels",
             .min = 0,
             .max = 1023});
  table.add(
      "augment.solarize", options.solarize.numbers,
      {.doc = "probability of solarisation (levels from 128 on are inverted, after the blur); "
              "a list: of each view",
       .min = 0,
       .max = 1,
       .one_for_all = true});
  table.add("augment.per_frame_colour", options.per_frame_colour,
            {.doc = "videos: draw jitter and grey for each frame, not once for the clip"});
  table.add("augment.jpeg_scaling", options.jpeg_scaling,
            {.doc = "decode a JPEG at 1/2, 1/4 or 1/8 of its size where every view still has as "
                    "many pixels as it needs: faster, and close to the full decode"});
  table.add("augment.mean", options.mean,
            {.doc = "mean of red, green and blue that is subtracted, of values in 0..1"});
  table.add("augment.std", options.std,
            {.doc = "standard deviation of red, green and blue that is divided by",
             .min = 0,
             .above_min = true});
}

int64_t blur_kernel_size(const AugmentOptions& options) {
  return options.blur_kernel > 0 ? options.blur_kernel : (options.size / 10) | 1;
}

std::vector<std::string> problems(const AugmentOptions& options, int64_t views) {
  std::vector<std::string> found;
  if (options.size < 1)
    found.push_back("augment.size = " + std::to_string(options.size) + "; allowed: 1 or more");
  check_order(found, "augment.crop_scale_min", options.crop_scale_min, "augment.crop_scale_max",
              options.crop_scale_max);
  check_order(found, "augment.ratio_min", options.ratio_min, "augment.ratio_max",
              options.ratio_max);
  check_order(found, "augment.blur_sigma_min", options.blur_sigma_min, "augment.blur_sigma_max",
              options.blur_sigma_max);
  check_views(found, "augment.blur", options.blur, views);
  check_views(found, "augment.solarize", options.solarize, views);
  check_channels(found, "augment.mean", options.mean);
  check_channels(found, "augment.std", options.std);
  for (const double deviation : options.std)
    if (!(deviation > 0))
      found.push_back("augment.std has the value " + number(deviation) + "; allowed: above 0");
  const int64_t kernel = blur_kernel_size(options);
  if (kernel % 2 == 0)
    found.push_back("augment.blur_kernel = " + std::to_string(kernel) +
                    " is even; allowed: odd numbers, or 0 for augment.size / 10 made odd");
  // Reflection needs a pixel beyond the edge for each pixel of the kernel's half.
  if (kernel / 2 >= options.size && options.blur.largest() > 0)
    found.push_back("augment.blur_kernel = " + std::to_string(kernel) +
                    " is too wide for views of augment.size = " + std::to_string(options.size) +
                    "; allowed: up to " + std::to_string(2 * options.size - 1));
  return found;
}

}  // namespace cltrain
