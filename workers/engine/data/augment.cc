#include "workers/engine/data/augment.h"

#include <algorithm>
#include <cmath>

namespace condense::data {
namespace {

// Calls `change` with whichever values the sample has.
template <typename Change>
void OnValues(Sample* sample, Change change) {
  if (sample->values.empty()) {
    change(&sample->pixels);
  } else {
    change(&sample->values);
  }
}

template <typename T>
void ShiftValues(int dy, int dx, const Sample& shape, std::vector<T>* values) {
  // Kept by each thread: its memory goes round from sample to sample.
  thread_local std::vector<T> out;
  out.assign(values->size(), T{0});
  const int begin = std::max(0, -dx);
  const int end = std::min(shape.width, shape.width - dx);
  for (int y = std::max(0, -dy);
       y < std::min(shape.height, shape.height - dy) && begin < end; ++y) {
    const auto at = [&](int row, int column) {
      return (int64_t{row} * shape.width + column) * shape.channels;
    };
    std::copy(values->begin() + at(y + dy, begin + dx),
              values->begin() + at(y + dy, end + dx),
              out.begin() + at(y, begin));
  }
  values->swap(out);
}

template <typename T>
void FlipValues(const Sample& shape, std::vector<T>* values) {
  const int channels = shape.channels;
  for (int y = 0; y < shape.height; ++y) {
    T* left = values->data() + int64_t{y} * shape.width * channels;
    T* right = left + int64_t{shape.width - 1} * channels;
    for (; left < right; left += channels, right -= channels) {
      std::swap_ranges(left, left + channels, right);
    }
  }
}

}  // namespace

void Shift(int dy, int dx, Sample* sample) {
  if (dy == 0 && dx == 0) return;
  OnValues(sample, [&](auto* values) { ShiftValues(dy, dx, *sample, values); });
}

void Flip(Sample* sample) {
  OnValues(sample, [&](auto* values) { FlipValues(*sample, values); });
}

void Erase(int y, int x, int size, const std::vector<double>& fill,
           Sample* sample) {
  const int top = y - size / 2, left = x - size / 2;
  OnValues(sample, [&](auto* values) {
    using T = typename std::decay_t<decltype(*values)>::value_type;
    for (int row = std::max(0, top); row < std::min(sample->height, top + size);
         ++row) {
      for (int column = std::max(0, left);
           column < std::min(sample->width, left + size); ++column) {
        T* to = values->data() +
                (int64_t{row} * sample->width + column) * sample->channels;
        for (int c = 0; c < sample->channels; ++c) {
          to[c] = static_cast<T>(fill[c]);
        }
      }
    }
  });
}

Region DrawRegion(const RandomResizedCrop& crop, const Sample& sample,
                  Random* random) {
  const double area = double{1} * sample.height * sample.width;
  const double reach = std::log(crop.ratio_max);
  for (int i = 0; i < 10; ++i) {
    const double part = area * random->Uniform(crop.area_min, crop.area_max);
    const double ratio = std::exp(random->Uniform(-reach, reach));
    const int width = static_cast<int>(std::lround(std::sqrt(part * ratio)));
    const int height = static_cast<int>(std::lround(std::sqrt(part / ratio)));
    if (width < 1 || height < 1 || width > sample.width ||
        height > sample.height) {
      continue;
    }
    const auto top = random->Below(sample.height - height + 1);
    const auto left = random->Below(sample.width - width + 1);
    return {static_cast<int>(top), static_cast<int>(left), height, width};
  }
  const auto most = [&](int side) {
    return static_cast<int>(std::lround(side * crop.ratio_max));
  };
  return CenterOf(sample, std::min(sample.height, most(sample.width)),
                  std::min(sample.width, most(sample.height)));
}

void Augment(const Augmentation& augmentation, const std::vector<double>& fill,
             Random* random, Sample* sample) {
  if (const auto* crop = std::get_if<RandomCrop>(&augmentation)) {
    const uint64_t places = 2 * crop->padding + 1;
    const int dy = static_cast<int>(random->Below(places)) - crop->padding;
    const int dx = static_cast<int>(random->Below(places)) - crop->padding;
    Shift(dy, dx, sample);
  } else if (const auto* flip = std::get_if<HorizontalFlip>(&augmentation)) {
    if (random->Uniform() < flip->probability) Flip(sample);
  } else if (const auto* jitter = std::get_if<ColorJitter>(&augmentation)) {
    Jitter(*jitter, random, sample);
  } else if (const auto* cutout = std::get_if<Cutout>(&augmentation)) {
    const auto y = static_cast<int>(random->Below(sample->height));
    const auto x = static_cast<int>(random->Below(sample->width));
    Erase(y, x, cutout->size, fill, sample);
  }
}

}  // namespace condense::data
