// Options of the data room: where images and videos come from (`data.*`) and how views are made of
// them
// (`augment.*`). describe() is the only declaration of their names, ranges and meanings.
//
// Filled before MPI starts, on every rank; plain values afterwards, safe to read from any thread.
#pragma once

#include "configs/option_table.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace cltrain {

struct DataOptions {
  /// A row of data_set_table() in data/registry.h, or the stem of a file of sequences.
  std::string name = "fashion_mnist";
  std::string root = "";             ///< folder of the data set; empty: the set's own default
  std::string train = "", val = "";  ///< of folders: they replace root/train, root/val
  std::string index_list = "";       ///< .npy of training ids, or empty: every training image
  int64_t workers = 0;               ///< loader threads a rank; 0: this rank's share of the cores
  int64_t prefetch = 4;              ///< batches prepared ahead of the step
  bool drop_last = false;            ///< leave out the short last batch of an epoch
  double max_bad_ratio = 0.01;       ///< of the training samples; more end the run
  int64_t frames = 32;               ///< of videos: frames of a clip
  int64_t stride = 1;       ///< of videos: distance of a clip's frames, in average frame periods
  int64_t eval_clips = 1;   ///< of videos: clips of each that evaluation looks at
  int64_t max_length = 50;  ///< of sequences: the last items that the network sees
  double min_rating = 0;    ///< of sequences: interactions rated lower are left out; 0: none
  int64_t user_core = 0, item_core = 0;  ///< of sequences: least interactions of a user, an item
  double click_rating = 4;               ///< of clicks from ratings: the lowest that is a click
  int64_t rows = 20000;                  ///< of clicks_synthetic
};

/// A number for every view: the same for all, or one each.
struct PerView {
  std::vector<double> numbers;

  PerView(double all) : numbers{all} {}
  PerView(std::initializer_list<double> each) : numbers(each) {}
  double of(uint32_t view) const {
    return numbers.size() == 1 ? numbers.front() : numbers.at(view);
  }
  double largest() const { return *std::max_element(numbers.begin(), numbers.end()); }
};

/// SimCLR's augmentation with torchvision's parameters, and BYOL's solarisation. The colour
/// defaults are strength 1.
struct AugmentOptions {
  int64_t size = 28;  ///< side of a view, pixels
  double crop_scale_min = 0.08, crop_scale_max = 1.0;
  double ratio_min = 3.0 / 4.0, ratio_max = 4.0 / 3.0;
  double flip = 0.5;
  double jitter_probability = 0.8;
  double brightness = 0.8, contrast = 0.8, saturation = 0.8, hue = 0.2;
  double gray = 0.2;
  PerView blur = 0.5;
  double blur_sigma_min = 0.1, blur_sigma_max = 2.0;
  int64_t blur_kernel = 0;  ///< 0: size / 10, made odd
  PerView solarize = 0;
  bool per_frame_colour = false;  ///< of clips: jitter and grey drawn for each frame
  bool jpeg_scaling = true;       ///< decode JPEGs no larger than the views need
  std::vector<double> mean = {0.485, 0.456, 0.406};
  std::vector<double> std = {0.229, 0.224, 0.225};
};

void describe(OptionTable& table, DataOptions& options);
void describe(OptionTable& table, AugmentOptions& options);

/// What one range cannot say: pairs out of order, an even blur kernel, a kernel wider than the
/// view, lists that are not three long or do not fit the number of views. One sentence a mistake;
/// empty when all is well.
std::vector<std::string> problems(const AugmentOptions& options, int64_t views = 2);

/// The blur kernel in use: blur_kernel, or size / 10 made odd.
int64_t blur_kernel_size(const AugmentOptions& options);

}  // namespace cltrain
