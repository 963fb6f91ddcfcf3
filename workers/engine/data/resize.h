#ifndef CONDENSE_WORKERS_ENGINE_DATA_RESIZE_H_
#define CONDENSE_WORKERS_ENGINE_DATA_RESIZE_H_

#include "workers/engine/data/dataset.h"

namespace condense::data {

// Bilinear with half-pixel centres and clamped edges. Without `antialias` two
// neighbours each way, as OpenCV samples; with it the triangle grows with the
// factor by which the image shrinks, as Pillow and torchvision sample.
Sample ResizeBilinear(Sample sample, int height, int width,
                      bool antialias = false);

// A part of an image, in pixels.
struct Region {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

// The region, which must lie inside of the image.
Sample CropTo(const Sample& sample, const Region& region);

// The region of that size in the middle; the odd pixel stays below and to
// the right.
Region CenterOf(const Sample& sample, int height, int width);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_RESIZE_H_
