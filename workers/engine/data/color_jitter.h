#ifndef CONDENSE_WORKERS_ENGINE_DATA_COLOR_JITTER_H_
#define CONDENSE_WORKERS_ENGINE_DATA_COLOR_JITTER_H_

#include "workers/engine/data/dataset.h"
#include "workers/engine/data/random.h"

namespace condense::data {

// Random changes of colour, as torchvision defines them: factors of brightness,
// contrast and saturation from max(0, 1 - x) to 1 + x, a turn of the hue from
// -hue to hue of a full circle, in a random order.
struct ColorJitter {
  double brightness = 0;
  double contrast = 0;
  double saturation = 0;
  // At most 0.5.
  double hue = 0;
};

// ITU-R BT.601, rounded.
inline uint8_t Luma(const uint8_t* rgb) {
  return static_cast<uint8_t>(
      (299 * rgb[0] + 587 * rgb[1] + 114 * rgb[2] + 500) / 1000);
}

// These take 8-bit images of 1 or 3 channels. Each blends with `factor` from
// something (0) to the image (1) and beyond.

// From black.
void AdjustBrightness(double factor, Sample* sample);
// From the mean luma, rounded.
void AdjustContrast(double factor, Sample* sample);
// From each pixel's luma. One channel has none.
void AdjustSaturation(double factor, Sample* sample);
// Turns the hue (of HSV) by a share of the circle. One channel has none.
void AdjustHue(double turn, Sample* sample);

void Jitter(const ColorJitter& jitter, Random* random, Sample* sample);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_COLOR_JITTER_H_
