#include "workers/engine/data/resize.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace condense::data {
namespace {

// Consecutive pixels and their weights, for one pixel of the result.
struct Taps {
  int first = 0;
  std::vector<float> weights;
};

Taps TwoNeighbours(double at, int from) {
  Taps taps;
  at = std::clamp(at, 0.0, from - 1.0);
  taps.first = static_cast<int>(at);
  const auto second = static_cast<float>(at - taps.first);
  taps.weights = {1 - second};
  if (taps.first + 1 < from) taps.weights.push_back(second);
  return taps;
}

// A triangle that reaches `reach` pixels each way from `center`.
Taps Triangle(double center, double reach, int from) {
  Taps taps;
  taps.first = std::max(0, static_cast<int>(center - reach + 0.5));
  const int end = std::min(from, static_cast<int>(center + reach + 0.5));
  double sum = 0;
  for (int i = taps.first; i < end; ++i) {
    const double weight =
        std::max(0.0, 1 - std::abs((i + 0.5 - center) / reach));
    taps.weights.push_back(static_cast<float>(weight));
    sum += weight;
  }
  for (float& weight : taps.weights) weight /= static_cast<float>(sum);
  return taps;
}

std::vector<Taps> TapsOf(int from, int to, bool antialias) {
  const double factor = double{1} * from / to;
  std::vector<Taps> taps;
  for (int i = 0; i < to; ++i) {
    const double center = (i + 0.5) * factor;
    taps.push_back(antialias && factor > 1 ? Triangle(center, factor, from)
                                           : TwoNeighbours(center - 0.5, from));
  }
  return taps;
}

// One row, made as wide as `columns`.
template <typename T>
void ResizeRow(const T* row, int channels, const std::vector<Taps>& columns,
               float* out) {
  for (const Taps& taps : columns) {
    const T* from = row + taps.first * channels;
    for (int c = 0; c < channels; ++c) {
      float sum = 0;
      for (size_t k = 0; k < taps.weights.size(); ++k) {
        sum += taps.weights[k] * from[k * channels + c];
      }
      *out++ = sum;
    }
  }
}

template <typename T>
std::vector<T> Resize(const std::vector<T>& in, const Sample& shape, int height,
                      int width, bool antialias) {
  const std::vector<Taps> rows = TapsOf(shape.height, height, antialias);
  const std::vector<Taps> columns = TapsOf(shape.width, width, antialias);
  size_t most = 1;
  for (const Taps& taps : rows) most = std::max(most, taps.weights.size());
  const size_t size = size_t(width) * shape.channels;
  // The rows that one row of the result needs; each is resized once.
  std::vector<std::vector<float>> ring(most, std::vector<float>(size));
  std::vector<int> in_ring(most, -1);
  std::vector<float> sum(size);
  std::vector<T> out(size * height);
  for (int y = 0; y < height; ++y) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (size_t k = 0; k < rows[y].weights.size(); ++k) {
      const int row = rows[y].first + static_cast<int>(k);
      std::vector<float>& resized = ring[row % most];
      if (in_ring[row % most] != row) {
        in_ring[row % most] = row;
        ResizeRow(in.data() + size_t(row) * shape.width * shape.channels,
                  shape.channels, columns, resized.data());
      }
      const float weight = rows[y].weights[k];
      for (size_t i = 0; i < size; ++i) sum[i] += weight * resized[i];
    }
    T* to = out.data() + y * size;
    for (size_t i = 0; i < size; ++i) {
      if constexpr (std::is_same_v<T, uint8_t>) {
        to[i] = static_cast<uint8_t>(std::min(sum[i] + 0.5f, 255.0f));
      } else {
        to[i] = sum[i];
      }
    }
  }
  return out;
}

template <typename T>
std::vector<T> Crop(const std::vector<T>& in, const Sample& shape,
                    const Region& region) {
  const size_t row = size_t(region.width) * shape.channels;
  std::vector<T> out(row * region.height);
  for (int y = 0; y < region.height; ++y) {
    const T* from =
        in.data() +
        (size_t(region.top + y) * shape.width + region.left) * shape.channels;
    std::copy(from, from + row, out.begin() + static_cast<int64_t>(y * row));
  }
  return out;
}

// The same image with another size, and no values yet.
Sample Sized(const Sample& sample, int height, int width) {
  Sample out;
  out.height = height;
  out.width = width;
  out.channels = sample.channels;
  out.label = sample.label;
  return out;
}

}  // namespace

Sample ResizeBilinear(Sample in, int height, int width, bool antialias) {
  if (in.height == height && in.width == width) return in;
  Sample out = Sized(in, height, width);
  if (in.values.empty()) {
    out.pixels = Resize(in.pixels, in, height, width, antialias);
  } else {
    out.values = Resize(in.values, in, height, width, antialias);
  }
  return out;
}

Sample CropTo(const Sample& in, const Region& region) {
  Sample out = Sized(in, region.height, region.width);
  if (in.values.empty()) {
    out.pixels = Crop(in.pixels, in, region);
  } else {
    out.values = Crop(in.values, in, region);
  }
  return out;
}

Region CenterOf(const Sample& sample, int height, int width) {
  return {(sample.height - height) / 2, (sample.width - width) / 2, height,
          width};
}

}  // namespace condense::data
