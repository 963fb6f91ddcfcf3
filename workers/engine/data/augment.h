#ifndef CONDENSE_WORKERS_ENGINE_DATA_AUGMENT_H_
#define CONDENSE_WORKERS_ENGINE_DATA_AUGMENT_H_

#include <variant>
#include <vector>

#include "workers/engine/data/color_jitter.h"
#include "workers/engine/data/dataset.h"
#include "workers/engine/data/random.h"
#include "workers/engine/data/resize.h"

namespace condense::data {

// Random changes of one training sample. What changes batches is mixup.h.

// Pads with zeros and crops back to the same size: a shift by up to `padding`
// pixels each way.
struct RandomCrop {
  int padding = 4;
};
// Mirrors left to right.
struct HorizontalFlip {
  double probability = 0.5;
};
// Fills a square of `size` pixels, whose centre may be any pixel, with the mean
// colour (DeVries and Taylor, arXiv:1708.04552).
struct Cutout {
  int size = 8;
};
// Takes a part with a random share of the area, and a random ratio of width to
// height from 1/ratio_max to ratio_max, and resizes it to the size the model
// takes (Szegedy et al., arXiv:1409.4842).
struct RandomResizedCrop {
  double area_min = 0.08;
  double area_max = 1;
  double ratio_max = 4.0 / 3;
};

using Augmentation = std::variant<RandomCrop, HorizontalFlip, ColorJitter,
                                  Cutout, RandomResizedCrop>;

// Shifts the image by (dy, dx): pixel (y, x) becomes what (y + dy, x + dx) was,
// or zero.
void Shift(int dy, int dx, Sample* sample);
void Flip(Sample* sample);
// Fills the square of `size` pixels around (y, x), as far as it is inside; one
// value of `fill` per channel.
void Erase(int y, int x, int size, const std::vector<double>& fill,
           Sample* sample);

// The part that a RandomResizedCrop takes. Ten tries, then the largest part in
// the middle.
Region DrawRegion(const RandomResizedCrop& crop, const Sample& sample,
                  Random* random);

// Changes a sample in place with draws from `random`; `fill` is for Cutout. A
// RandomResizedCrop changes the size and is not among these: see Prepare.
void Augment(const Augmentation& augmentation, const std::vector<double>& fill,
             Random* random, Sample* sample);

}  // namespace condense::data

#endif  // CONDENSE_WORKERS_ENGINE_DATA_AUGMENT_H_
