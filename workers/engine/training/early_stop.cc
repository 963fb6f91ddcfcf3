#include "workers/engine/training/early_stop.h"

#include <cmath>
#include <limits>

namespace condense::training {

bool EarlyStop::IsBest(const Measurement& measured) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  // Higher is better.
  const double score = options_.metric == EarlyStopOptions::Metric::kMain
                           ? measured.main_value().value_or(kNone)
                           : -measured.Find("loss").value_or(kNone);
  const bool best = std::isfinite(score) &&
                    (measured_ == 0 || score > best_ + options_.min_delta);
  if (best) {
    best_ = score;
    ++measured_;
    without_progress_ = 0;
  } else {
    ++without_progress_;
  }
  return best;
}

torch::Tensor EarlyStop::State() const {
  return torch::tensor({static_cast<double>(measured_),
                        static_cast<double>(without_progress_), best_},
                       torch::kFloat64);
}

void EarlyStop::Restore(const torch::Tensor& state) {
  const double* values = state.data_ptr<double>();
  measured_ = static_cast<int64_t>(values[0]);
  without_progress_ = static_cast<int64_t>(values[1]);
  best_ = values[2];
}

}  // namespace condense::training
