#include "workers/engine/quantization/histogram.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>
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

}  // namespace

Range RangeOf(absl::Span<const float> values) {
  const float infinity = std::numeric_limits<float>::infinity();
  float low[kLanes], high[kLanes];
  std::fill(low, low + kLanes, infinity);
  std::fill(high, high + kLanes, -infinity);
  const auto blocks = static_cast<int64_t>(values.size() / kLanes);
  WidenLanes(values.data(), blocks, low, high);
  for (size_t i = blocks * kLanes; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    low[0] = std::min(low[0], values[i]);
    high[0] = std::max(high[0], values[i]);
  }
  return {*std::min_element(low, low + kLanes),
          *std::max_element(high, high + kLanes)};
}

int64_t CountInto(absl::Span<const float> values, float from,
                  float bins_per_unit, int size, double* bins) {
  // One more for what is not finite.
  const int stride = size + 1;
  std::vector<uint32_t> tables(static_cast<size_t>(kTables) * stride, 0);
  int32_t at[kBlock];
  for (size_t done = 0; done < values.size(); done += kBlock) {
    const int count =
        static_cast<int>(std::min<size_t>(kBlock, values.size() - done));
    BinsOf(values.data() + done, count, from, bins_per_unit, size, at);
    int i = 0;
    for (; i + kTables <= count; i += kTables) {
      for (int t = 0; t < kTables; ++t) ++tables[t * stride + at[i + t]];
    }
    for (; i < count; ++i) ++tables[at[i]];
  }
  int64_t finite = 0;
  for (int i = 0; i < size; ++i) {
    int64_t sum = 0;
    for (int t = 0; t < kTables; ++t) sum += tables[t * stride + i];
    bins[i] += static_cast<double>(sum);
    finite += sum;
  }
  return finite;
}

}  // namespace condense::quantization
