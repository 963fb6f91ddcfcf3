#include "workers/engine/quantization/quantizer.h"

#include <algorithm>
#include <cmath>

namespace condense::quantization {
namespace {

// Below this the reciprocal would overflow.
constexpr double kScaleMin = 1e-30;

}  // namespace

Levels WeightLevels(int bits) {
  const int64_t most = (int64_t{1} << (bits - 1)) - 1;
  return {-most, most};
}

Levels ActivationLevels(bool is_unsigned, int bits) {
  const int64_t count = int64_t{1} << bits;
  return is_unsigned ? Levels{0, count - 1} : Levels{-count / 2, count / 2 - 1};
}

Grid AffineGrid(double low, double high, Levels levels) {
  low = std::min(low, 0.0);
  high = std::max(high, 0.0);
  if (high - low < kScaleMin * (levels.qmax - levels.qmin)) high = low + 1;
  Grid grid;
  grid.scale = static_cast<float>((high - low) / (levels.qmax - levels.qmin));
  const double zero = std::nearbyint(levels.qmin - low / grid.scale);
  grid.zero_point = static_cast<int32_t>(
      std::clamp<double>(zero, static_cast<double>(levels.qmin),
                         static_cast<double>(levels.qmax)));
  return grid;
}

Grid SymmetricGrid(double max_abs, Levels levels) {
  const int64_t middle = levels.qmin >= 0 ? (levels.qmax + 1) / 2 : 0;
  const double steps = static_cast<double>(levels.qmax - middle);
  if (max_abs < kScaleMin * steps) max_abs = 1;
  return {static_cast<float>(max_abs / steps), static_cast<int32_t>(middle)};
}

Grid PowerOfTwoGrid(const Grid& grid, Levels levels) {
  const float scale = std::exp2(std::ceil(std::log2(grid.scale)));
  // The middle stays in the middle, and the low end is still held.
  const double low =
      static_cast<double>(levels.qmin - grid.zero_point) * grid.scale;
  const int64_t zero = std::clamp(
      static_cast<int64_t>(std::nearbyint(levels.qmin - low / scale)),
      levels.qmin, levels.qmax);
  const int64_t middle = levels.qmin >= 0 ? (levels.qmax + 1) / 2 : 0;
  return {scale,
          static_cast<int32_t>(grid.zero_point == middle ? middle : zero)};
}

int64_t QuantizeValue(float x, const Grid& grid, Levels levels) {
  const float level = std::nearbyint(x / grid.scale) + grid.zero_point;
  return static_cast<int64_t>(std::clamp(level, static_cast<float>(levels.qmin),
                                         static_cast<float>(levels.qmax)));
}

}  // namespace condense::quantization
