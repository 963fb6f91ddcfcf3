#include "workers/engine/runtime/lookup_table.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "workers/engine/runtime/learned_basis.h"
#include "workers/engine/runtime/level_table.h"
#include "workers/engine/runtime/sorted_values.h"

namespace condense::runtime {
namespace {

constexpr int kTurns = 100;

using Levels = std::vector<double>;

// Each level at the mean of its cell, until nothing moves.
Levels Lloyd(const SortedValues& sorted, Levels levels) {
  for (int turn = 0; turn < kTurns; ++turn) {
    const std::vector<SortedValues::Cell> cells = sorted.Cells(levels);
    Levels next = levels;
    for (size_t i = 0; i < cells.size(); ++i) {
      if (cells[i].count > 0) next[i] = cells[i].sum / cells[i].count;
    }
    std::sort(next.begin(), next.end());
    if (next == levels) break;
    levels = std::move(next);
  }
  return levels;
}

std::vector<Levels> Starts(const SortedValues& sorted, int bits) {
  const std::vector<float>& values = sorted.values();
  const size_t count = size_t{1} << bits;
  const double low = values.front(), high = values.back();
  Levels uniform, quantiles;
  for (size_t i = 0; i < count; ++i) {
    const double at =
        (static_cast<double>(i) + 0.5) / static_cast<double>(count);
    uniform.push_back(low + at * (high - low));
    quantiles.push_back(
        values[static_cast<size_t>(at * static_cast<double>(values.size()))]);
  }
  const std::vector<float> basis = FitBasis(values, bits);
  Levels sums(count, 0);
  for (size_t signs = 0; signs < count; ++signs) {
    for (size_t k = 0; k < basis.size(); ++k) {
      sums[signs] += (signs >> k & 1) != 0 ? basis[k] : -basis[k];
    }
  }
  std::sort(sums.begin(), sums.end());
  return {uniform, quantiles, sums};
}

}  // namespace

std::vector<float> FitLevels(const std::vector<float>& weights, int bits) {
  const size_t count = size_t{1} << bits;
  if (weights.empty()) return std::vector<float>(count, 0);
  const SortedValues sorted(weights);
  std::vector<float> distinct = sorted.values();
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  if (distinct.size() <= count) {
    distinct.resize(count, distinct.back());
    return distinct;
  }
  Levels best;
  double least = HUGE_VAL;
  for (Levels& start : Starts(sorted, bits)) {
    const Levels levels = Lloyd(sorted, std::move(start));
    const double error = sorted.Error(levels);
    if (error >= least) continue;
    least = error;
    best = levels;
  }
  return {best.begin(), best.end()};
}

}  // namespace condense::runtime
