#include "workers/engine/training/schedule.h"

#include <algorithm>
#include <cmath>

namespace condense::training {
namespace {

// From `from` (t = 0) to `to` (t = 1) by half a cosine.
double HalfCosine(double from, double to, double t) {
  return to + (from - to) / 2 * (1 + std::cos(M_PI * t));
}

// Share of the rate at `step` of `total`, without warm-up.
double Share(const ScheduleOptions& options, double step, double total,
             double steps_per_epoch) {
  const double t = total <= 0 ? 0 : step / total;
  switch (options.kind) {
    case Schedule::kConstant:
      return 1;
    case Schedule::kCosine:
      return HalfCosine(1, options.final, t);
    case Schedule::kLinear:
      return 1 + (options.final - 1) * t;
    case Schedule::kStep: {
      const double epoch = steps_per_epoch <= 0 ? 0 : step / steps_per_epoch;
      // Not to fall one step late where the division is not exact.
      const double falls = std::floor(epoch / options.every_epochs + 1e-9);
      return std::pow(options.gamma, falls);
    }
    case Schedule::kOneCycle:
      return t < options.peak_at
                 ? HalfCosine(options.start, 1, t / options.peak_at)
                 : HalfCosine(1, options.final,
                              (t - options.peak_at) / (1 - options.peak_at));
  }
  return 1;
}

}  // namespace

double LearningRate(const ScheduleOptions& options, double lr, int64_t step,
                    int64_t total, int64_t steps_per_epoch) {
  const int64_t warmup = std::min<int64_t>(
      total, std::llround(options.warmup_epochs *
                          static_cast<double>(steps_per_epoch)));
  const auto share = [&](int64_t after) {
    return Share(options, static_cast<double>(after),
                 static_cast<double>(total - warmup),
                 static_cast<double>(steps_per_epoch));
  };
  if (step >= warmup) return lr * share(step - warmup);
  return lr * share(0) * static_cast<double>(step + 1) /
         static_cast<double>(warmup + 1);
}

}  // namespace condense::training
