#ifndef CONDENSE_WORKERS_ENGINE_DATA_TRANSFORM_H_
#define CONDENSE_WORKERS_ENGINE_DATA_TRANSFORM_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/data/augment.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/random.h"

namespace condense::data {

enum class Color { kAsModel, kRgb, kBgr, kGray };

// x = (pixel * scale - mean) / std, per channel, in the model's layout.
struct Preprocess {
  // 0: as the data is.
  int resize_height = 0;
  int resize_width = 0;
  bool antialias = false;
  // The middle of what was resized; 0: all of it.
  int crop_height = 0;
  int crop_width = 0;
  double scale = 1;
  // One value, or one per channel.
  std::vector<double> mean = {0};
  std::vector<double> std = {1};
  // [N, H, W, C] instead of [N, C, H, W].
  bool channels_last = false;
  Color color = Color::kAsModel;
  // Each channel keeps 2^color_bits values (ReduceColor); 8: all of them.
  int color_bits = 8;
};

// Colour quantization as a device does it that stores fewer bits per channel:
// of the 8-bit image as the model gets it (resized, cropped, converted,
// augmented), before it is normalised. The nearest of n = 2^bits values spread
// evenly over 0 to 255, itself a whole number:
//   level = round(pixel (n - 1) / 255),  result = round(level 255 / (n - 1)).
// Neither quotient is ever halfway. Kolf et al., "How colorful should faces
// be?", IJCB 2023.
uint8_t ReduceColor(uint8_t pixel, int bits);

// What the model's input wants; 0: anything.
struct InputShape {
  int channels = 0;
  int height = 0;
  int width = 0;

  bool operator==(const InputShape&) const = default;
};

// 1 or 3 channels to 1 or 3; luma by ITU-R BT.601.
Sample ConvertColor(Sample sample, Color color, int model_channels);

// Resizes, crops and converts, and augments when `random` is given. A
// RandomResizedCrop, which must be the first augmentation, takes the place of
// resize and crop. INVALID_ARGUMENT with reason DATA_SHAPE_MISMATCH when the
// result does not fit `shape`, or FLOAT_IMAGES for a ColorJitter or fewer
// color_bits of them.
absl::StatusOr<Sample> Prepare(const Preprocess& preprocess,
                               const std::vector<Augmentation>& augmentations,
                               Random* random, const InputShape& shape,
                               Sample sample);

// Writes samples as the model's input, their colours reduced. Thread-safe.
class Normalizer {
 public:
  explicit Normalizer(const Preprocess& preprocess);
  // As many floats as the sample has values.
  void Write(const Sample& sample, float* out) const;

 private:
  // x = value * factor + shift, of one channel.
  struct Channel {
    double factor = 1;
    double shift = 0;
    // Of each 8-bit value.
    std::array<float, 256> table;
  };
  const Channel& channel(int index) const;
  void WriteRgbPlanes(const Sample& sample, float* out) const;

  const bool channels_last_;
  // One for all channels, or one each.
  std::vector<Channel> channels_;
};

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_TRANSFORM_H_
