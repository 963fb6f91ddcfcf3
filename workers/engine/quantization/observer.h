#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_OBSERVER_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_OBSERVER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "workers/engine/quantization/histogram.h"
#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {

enum class ObserverKind {
  // Smallest and largest value seen.
  kMinMax,
  // Their average over batches, each new one by a tenth.
  kMovingAverage,
  // What holds `ObserverOptions::percentile` per cent in the middle.
  kPercentile,
  // The range, shrunk in 100 steps down to a third, whose quantization loses
  // the least squared error over the histogram.
  kMse,
  // As kMse, with the least Kullback-Leibler divergence of the quantized
  // histogram from the clipped one (Migacz, "8-bit inference with TensorRT",
  // 2017).
  kEntropy,
};

struct ObserverOptions {
  ObserverKind kind = ObserverKind::kMse;
  // In (50, 100].
  double percentile = 99.99;
};

// Watches one tensor over many batches in memory that does not grow: smallest,
// largest, and, for the kinds that need one, a histogram whose range doubles as
// needed. Not thread-safe.
class Observer {
 public:
  static constexpr int kBins = 2048;

  Observer() : Observer(ObserverOptions()) {}
  explicit Observer(ObserverOptions options) : options_(options) {}

  // One batch. Infinities and NaN are passed over.
  void Add(absl::Span<const float> values);

  bool empty() const { return count_ == 0; }
  double low() const { return low_; }
  double high() const { return high_; }
  // Seen were values, but only one of them.
  bool constant() const { return !empty() && low_ == high_; }

  // The grid for what was seen; scale > 0 whatever it was.
  Grid Choose(bool symmetric, Levels levels) const;

 private:
  bool has_histogram() const {
    return options_.kind != ObserverKind::kMinMax &&
           options_.kind != ObserverKind::kMovingAverage;
  }
  // The range of one batch.
  void Watch(Range range);
  // Makes the histogram reach over this.
  void Cover(double low, double high);
  Count CountOf(absl::Span<const float> values) const;
  void Take(const Count& count);
  double Center(int bin) const { return from_ + (bin + 0.5) * width_; }
  Grid GridOf(double low, double high, bool symmetric, Levels levels) const;
  Grid ChoosePercentile(bool symmetric, Levels levels) const;
  // Divergence in nats of the histogram on this grid.
  double Divergence(const Grid& grid, Levels levels) const;

  ObserverOptions options_;
  int64_t count_ = 0;
  double low_ = 0;
  double high_ = 0;
  double average_low_ = 0;
  double average_high_ = 0;
  // The histogram covers [from_, from_ + kBins * width_).
  double from_ = 0;
  double width_ = 0;
  std::vector<double> bins_;
};

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_OBSERVER_H_
