#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_HISTOGRAM_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_HISTOGRAM_H_

#include <cstdint>

#include "absl/types/span.h"

namespace condense::quantization {

// The two loops of calibration over every element, vectorised.

struct Range {
  // low > high: no finite value.
  float low = 0;
  float high = 0;
};
// Infinities and NaN are passed over.
Range RangeOf(absl::Span<const float> values);

// Adds each finite value v to bins[(v - from) * bins_per_unit], the nearest bin
// where that is outside of [0, size). Returns how many there were.
int64_t CountInto(absl::Span<const float> values, float from,
                  float bins_per_unit, int size, double* bins);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_HISTOGRAM_H_
