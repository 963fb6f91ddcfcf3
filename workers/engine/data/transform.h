#ifndef CONDENSE_WORKERS_ENGINE_DATA_TRANSFORM_H_
#define CONDENSE_WORKERS_ENGINE_DATA_TRANSFORM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/random.h"

namespace condense::data {

enum class Color { kAsModel, kRgb, kBgr, kGray };

// x = (pixel * scale - mean) / std, per channel, in the model's layout.
struct Preprocess {
  // 0: as the data is.
  int resize_height = 0;
  int resize_width = 0;
  double scale = 1;
  // One value, or one per channel.
  std::vector<double> mean = {0};
  std::vector<double> std = {1};
  // [N, H, W, C] instead of [N, C, H, W].
  bool channels_last = false;
  Color color = Color::kAsModel;
};

struct Augmentation {
  // Pixels of zeros on each side before cropping back; 0: no crop.
  int crop_padding = 0;
  bool horizontal_flip = false;
};

// What the model's input wants; 0: anything.
struct InputShape {
  int channels = 0;
  int height = 0;
  int width = 0;
};

// Bilinear with half-pixel centres and clamped edges, as PIL and OpenCV sample
// when they do not antialias.
Sample ResizeBilinear(const Sample& sample, int height, int width);

// 1 or 3 channels to 1 or 3; luma by ITU-R BT.601.
Sample ConvertColor(const Sample& sample, Color color, int model_channels);

// Crops and flips in place, with two or three draws from `random`.
void Augment(const Augmentation& augmentation, Random* random, Sample* sample);

// Resizes, converts, augments (when `random` is given) and writes the floats of
// one sample to `out`. INVALID_ARGUMENT with reason DATA_SHAPE_MISMATCH when
// the result does not fit `shape`.
absl::Status Transform(const Preprocess& preprocess,
                       const std::vector<Augmentation>& augmentations,
                       Random* random, const InputShape& shape, Sample sample,
                       std::vector<float>* out, InputShape* produced);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_TRANSFORM_H_
