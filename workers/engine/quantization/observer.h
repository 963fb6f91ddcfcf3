#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_OBSERVER_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_OBSERVER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {

enum class ObserverKind { kMinMax, kMse, kPercentile };

// Watches one tensor over many batches in memory that does not grow: smallest,
// largest and a histogram whose range doubles as needed. Not thread-safe.
class Observer {
 public:
  static constexpr int kBins = 2048;

  // Infinities and NaN are passed over.
  void Add(absl::Span<const float> values);

  bool empty() const { return count_ == 0; }
  double low() const { return low_; }
  double high() const { return high_; }

  // The grid for what was seen. kMse: the range, shrunk in 100 steps down to a
  // third, whose quantization loses the least squared error over the histogram;
  // kPercentile: what holds 99.99 % in the middle.
  Grid Choose(ObserverKind kind, bool symmetric, Levels levels) const;

 private:
  void Cover(double low, double high);
  double Center(int bin) const { return from_ + (bin + 0.5) * width_; }
  // Sum of squared errors of the histogram on this grid.
  double Error(const Grid& grid, Levels levels) const;

  int64_t count_ = 0;
  double low_ = 0;
  double high_ = 0;
  // The histogram covers [from_, from_ + kBins * width_).
  double from_ = 0;
  double width_ = 0;
  std::vector<double> bins_;
};

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_OBSERVER_H_
