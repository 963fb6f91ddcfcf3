#include "workers/engine/quantization/observer.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace condense::quantization {
namespace {

// The share of a new batch in the moving average.
constexpr double kAveraging = 0.1;
constexpr int kShrinkSteps = 100;
constexpr double kShrinkLeast = 1.0 / 3;

// A level between qmin and qmax, as a number.
double LevelOf(double x, const Grid& grid, Levels levels) {
  return std::clamp(std::nearbyint(x / grid.scale) + grid.zero_point,
                    static_cast<double>(levels.qmin),
                    static_cast<double>(levels.qmax));
}

}  // namespace

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

void Observer::Watch(Range range) {
  if (empty()) {
    low_ = average_low_ = range.low;
    high_ = average_high_ = range.high;
  }
  low_ = std::min<double>(low_, range.low);
  high_ = std::max<double>(high_, range.high);
  average_low_ += kAveraging * (range.low - average_low_);
  average_high_ += kAveraging * (range.high - average_high_);
}

void Observer::Add(absl::Span<const float> values) {
  if (!has_histogram() || bins_.empty()) {
    const Range range = RangeOf(values);
    if (range.low > range.high) return;
    Watch(range);
    if (!has_histogram()) {
      count_ += static_cast<int64_t>(values.size());
      return;
    }
    Cover(range.low, range.high);
    Take(CountOf(values));
    return;
  }
  // Mostly a batch stays within what was seen: it is read once.
  Count count = CountOf(values);
  if (count.range.low > count.range.high) return;
  Watch(count.range);
  const double width = width_;
  Cover(count.range.low, count.range.high);
  Take(width == width_ ? count : CountOf(values));
}

Count Observer::CountOf(absl::Span<const float> values) const {
  return CountValues(values, static_cast<float>(from_),
                     static_cast<float>(1 / width_), kBins);
}

void Observer::Take(const Count& count) {
  for (int i = 0; i < kBins; ++i)
    bins_[i] += static_cast<double>(count.bins[i]);
  count_ += count.finite;
}

double Observer::Divergence(const Grid& grid, Levels levels) const {
  // The reference has what is outside in its outermost bins; the quantized
  // histogram spreads each level over the bins that it stands for.
  const auto size = static_cast<size_t>(levels.qmax - levels.qmin + 1);
  std::vector<double> mass(size, 0), used(size, 0);
  std::vector<double> reference(kBins, 0);
  int first = -1, last = -1;
  double below = 0, above = 0;
  for (int i = 0; i < kBins; ++i) {
    const double level =
        std::nearbyint(Center(i) / grid.scale) + grid.zero_point;
    if (level < static_cast<double>(levels.qmin)) {
      below += bins_[i];
    } else if (level > static_cast<double>(levels.qmax)) {
      above += bins_[i];
    } else {
      if (first < 0) first = i;
      last = i;
      reference[i] = bins_[i];
      mass[static_cast<int64_t>(level) - levels.qmin] += bins_[i];
      used[static_cast<int64_t>(level) - levels.qmin] += bins_[i] > 0;
    }
  }
  if (first < 0) return std::numeric_limits<double>::infinity();
  reference[first] += below;
  reference[last] += above;
  double total = 0;
  for (double m : mass) total += m;
  double divergence = 0;
  for (int i = first; i <= last; ++i) {
    if (reference[i] == 0) continue;
    const auto level =
        static_cast<int64_t>(LevelOf(Center(i), grid, levels)) - levels.qmin;
    const double p = reference[i] / static_cast<double>(count_);
    const double q =
        mass[level] > 0 ? mass[level] / used[level] / total : 1e-12;
    divergence += p * std::log(p / q);
  }
  return divergence;
}

Grid Observer::GridOf(double low, double high, bool symmetric,
                      Levels levels) const {
  return symmetric
             ? SymmetricGrid(std::max(std::abs(low), std::abs(high)), levels)
             : AffineGrid(low, high, levels);
}

Grid Observer::ChoosePercentile(bool symmetric, Levels levels) const {
  const double tail =
      (100 - options_.percentile) / 200 * static_cast<double>(count_);
  double below = 0;
  int first = 0, last = kBins - 1;
  while (first < kBins && (below += bins_[first]) <= tail) ++first;
  double above = 0;
  while (last >= 0 && (above += bins_[last]) <= tail) --last;
  return GridOf(std::max(low_, from_ + first * width_),
                std::min(high_, from_ + (last + 1) * width_), symmetric,
                levels);
}

Grid Observer::Choose(bool symmetric, Levels levels) const {
  if (options_.kind == ObserverKind::kMovingAverage) {
    return GridOf(average_low_, average_high_, symmetric, levels);
  }
  if (empty() || !has_histogram()) {
    return GridOf(low_, high_, symmetric, levels);
  }
  if (options_.kind == ObserverKind::kPercentile) {
    return ChoosePercentile(symmetric, levels);
  }
  std::vector<double> centers, counts;
  for (int i = 0; i < kBins; ++i) {
    if (bins_[i] == 0) continue;
    centers.push_back(Center(i));
    counts.push_back(bins_[i]);
  }
  const auto loss = [&](const Grid& grid) {
    if (options_.kind == ObserverKind::kEntropy)
      return Divergence(grid, levels);
    return SquaredError(centers, counts, grid.scale,
                        static_cast<double>(levels.qmin - grid.zero_point),
                        static_cast<double>(levels.qmax - grid.zero_point));
  };
  Grid best = GridOf(low_, high_, symmetric, levels);
  double least = loss(best);
  for (int i = 1; i <= kShrinkSteps; ++i) {
    const double share = 1 - i * (1 - kShrinkLeast) / kShrinkSteps;
    const Grid grid = GridOf(low_ * share, high_ * share, symmetric, levels);
    const double lost = loss(grid);
    if (lost < least) {
      least = lost;
      best = grid;
    }
  }
  return best;
}

}  // namespace condense::quantization
