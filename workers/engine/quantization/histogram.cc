#include "workers/engine/quantization/histogram.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CONDENSE_WIDE \
  __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CONDENSE_WIDE
#endif

namespace condense::quantization {
namespace {

// Elements that are worked on at once, and tables that take turns, so that
// equal neighbours do not wait for each other.
constexpr int kLanes = 64;
constexpr int kBlock = 1024;
constexpr int kTables = 4;
constexpr int kErrorLanes = 16;

// Smallest and largest finite values, lane by lane.
struct Lanes {
  float low[kLanes];
  float high[kLanes];

  Lanes() {
    std::fill(low, low + kLanes, std::numeric_limits<float>::infinity());
    std::fill(high, high + kLanes, -std::numeric_limits<float>::infinity());
  }
  Range Whole() const {
    return {*std::min_element(low, low + kLanes),
            *std::max_element(high, high + kLanes)};
  }
};

CONDENSE_WIDE void WidenLanes(const float* values, int64_t blocks, float* low,
                              float* high) {
  for (int64_t b = 0; b < blocks; ++b) {
    const float* v = values + b * kLanes;
    for (int i = 0; i < kLanes; ++i) {
      const bool finite = std::abs(v[i]) <= FLT_MAX;
      const float down = finite ? v[i] : low[i];
      const float up = finite ? v[i] : high[i];
      low[i] = down < low[i] ? down : low[i];
      high[i] = up > high[i] ? up : high[i];
    }
  }
}

void Widen(const float* values, size_t count, Lanes* lanes) {
  const size_t blocks = count / kLanes;
  WidenLanes(values, static_cast<int64_t>(blocks), lanes->low, lanes->high);
  for (size_t i = blocks * kLanes; i < count; ++i) {
    if (!std::isfinite(values[i])) continue;
    lanes->low[0] = std::min(lanes->low[0], values[i]);
    lanes->high[0] = std::max(lanes->high[0], values[i]);
  }
}

// Bin 0 to size - 1, or `size` for what is not finite.
CONDENSE_WIDE void BinsOf(const float* values, int count, float from,
                          float bins_per_unit, int size, int32_t* bins) {
  const float last = static_cast<float>(size - 1);
  for (int i = 0; i < count; ++i) {
    const float v = values[i];
    float at = (v - from) * bins_per_unit;
    at = at > 0 ? at : 0;
    at = at < last ? at : last;
    bins[i] = std::abs(v) <= FLT_MAX ? static_cast<int32_t>(at) : size;
  }
}

// errors[lane] grows by count * (value - nearest level)^2.
CONDENSE_WIDE void AddErrors(const double* values, const double* counts,
                             int64_t blocks, double scale, double low,
                             double high, double* errors) {
  for (int64_t b = 0; b < blocks; ++b) {
    for (int i = 0; i < kErrorLanes; ++i) {
      const double x = values[b * kErrorLanes + i];
      double level = std::nearbyint(x / scale);
      level = level > low ? level : low;
      level = level < high ? level : high;
      const double lost = x - scale * level;
      errors[i] += counts[b * kErrorLanes + i] * lost * lost;
    }
  }
}

}  // namespace

Range RangeOf(absl::Span<const float> values) {
  Lanes lanes;
  Widen(values.data(), values.size(), &lanes);
  return lanes.Whole();
}

Count CountValues(absl::Span<const float> values, float from,
                  float bins_per_unit, int size) {
  // One more for what is not finite.
  const int stride = size + 1;
  std::vector<uint32_t> tables(static_cast<size_t>(kTables) * stride, 0);
  Lanes lanes;
  int32_t at[kBlock];
  for (size_t done = 0; done < values.size(); done += kBlock) {
    const int count =
        static_cast<int>(std::min<size_t>(kBlock, values.size() - done));
    Widen(values.data() + done, count, &lanes);
    BinsOf(values.data() + done, count, from, bins_per_unit, size, at);
    int i = 0;
    for (; i + kTables <= count; i += kTables) {
      for (int t = 0; t < kTables; ++t) ++tables[t * stride + at[i + t]];
    }
    for (; i < count; ++i) ++tables[at[i]];
  }
  Count out;
  out.range = lanes.Whole();
  out.bins.resize(size);
  for (int i = 0; i < size; ++i) {
    for (int t = 0; t < kTables; ++t) out.bins[i] += tables[t * stride + i];
    out.finite += out.bins[i];
  }
  return out;
}

double SquaredError(const std::vector<double>& values,
                    const std::vector<double>& counts, double scale, double low,
                    double high) {
  double errors[kErrorLanes] = {};
  const size_t blocks = values.size() / kErrorLanes;
  AddErrors(values.data(), counts.data(), static_cast<int64_t>(blocks), scale,
            low, high, errors);
  for (size_t i = blocks * kErrorLanes; i < values.size(); ++i) {
    const double lost =
        values[i] -
        scale * std::clamp(std::nearbyint(values[i] / scale), low, high);
    errors[0] += counts[i] * lost * lost;
  }
  return std::accumulate(errors, errors + kErrorLanes, 0.0);
}

}  // namespace condense::quantization
