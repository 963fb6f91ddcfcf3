#include "workers/engine/quantization/observer.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace condense::quantization {

void Observer::Cover(double low, double high) {
  if (bins_.empty()) {
    bins_.assign(kBins, 0);
    from_ = low;
    width_ = std::max((high - low) / kBins, 1e-12) * 1.0001;
    return;
  }
  // Doubling merges pairs of bins exactly: the histogram grows to the left or
  // to the right.
  while (low < from_ || high >= from_ + kBins * width_) {
    std::vector<double> merged(kBins, 0);
    const bool left = low < from_;
    const int base = left ? kBins / 2 : 0;
    for (int i = 0; i < kBins; ++i) merged[base + i / 2] += bins_[i];
    if (left) from_ -= kBins * width_;
    width_ *= 2;
    bins_ = std::move(merged);
  }
}

void Observer::Add(absl::Span<const float> values) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (float v : values) {
    if (!std::isfinite(v)) continue;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  if (low > high) return;
  Cover(low, high);
  low_ = count_ == 0 ? low : std::min<double>(low_, low);
  high_ = count_ == 0 ? high : std::max<double>(high_, high);
  const float scale = static_cast<float>(1 / width_);
  const float from = static_cast<float>(from_);
  for (float v : values) {
    if (!std::isfinite(v)) continue;
    ++count_;
    const int bin = static_cast<int>((v - from) * scale);
    bins_[std::clamp(bin, 0, kBins - 1)] += 1;
  }
}

double Observer::Error(const Grid& grid, Levels levels) const {
  double error = 0;
  for (int i = 0; i < kBins; ++i) {
    if (bins_[i] == 0) continue;
    const double x = Center(i);
    const double q = std::clamp(
        std::nearbyint(x / grid.scale) + grid.zero_point,
        static_cast<double>(levels.qmin), static_cast<double>(levels.qmax));
    const double lost = x - grid.scale * (q - grid.zero_point);
    error += bins_[i] * lost * lost;
  }
  return error;
}

Grid Observer::Choose(ObserverKind kind, bool symmetric, Levels levels) const {
  double low = low_, high = high_;
  auto grid_of = [&](double a, double b) {
    return symmetric ? SymmetricGrid(std::max(std::abs(a), std::abs(b)), levels)
                     : AffineGrid(a, b, levels);
  };
  if (empty() || kind == ObserverKind::kMinMax) return grid_of(low, high);
  if (kind == ObserverKind::kPercentile) {
    constexpr double kTail = 0.5e-4;
    double below = 0;
    int first = 0, last = kBins - 1;
    while (first < kBins && (below += bins_[first]) <= kTail * count_) ++first;
    double above = 0;
    while (last >= 0 && (above += bins_[last]) <= kTail * count_) --last;
    return grid_of(std::max(low, from_ + first * width_),
                   std::min(high, from_ + (last + 1) * width_));
  }
  constexpr int kSteps = 100;
  Grid best = grid_of(low, high);
  double least = Error(best, levels);
  for (int i = 1; i <= kSteps; ++i) {
    const double share = 1 - i * (2.0 / 3) / kSteps;
    const Grid grid = grid_of(low * share, high * share);
    const double error = Error(grid, levels);
    if (error < least) {
      least = error;
      best = grid;
    }
  }
  return best;
}

}  // namespace condense::quantization
