#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_HISTOGRAM_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_HISTOGRAM_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace condense::quantization {

// The loops of calibration over every element, vectorised.

struct Range {
  // low > high: no finite value.
  float low = 0;
  float high = 0;
};
// Infinities and NaN are passed over.
Range RangeOf(absl::Span<const float> values);

struct Count {
  // As RangeOf.
  Range range;
  std::vector<int64_t> bins;
  // The sum of `bins`.
  int64_t finite = 0;
};
// Counts each finite value v in bins[(v - from) * bins_per_unit], the nearest
// bin where that is outside of [0, size). Reads the values once.
Count CountValues(absl::Span<const float> values, float from,
                  float bins_per_unit, int size);

// The sum of counts[i] * (values[i] - scale * level)^2 with the nearest level
// (half to even) of those from `low` to `high`.
double SquaredError(const std::vector<double>& values,
                    const std::vector<double>& counts, double scale, double low,
                    double high);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_HISTOGRAM_H_
