#include "workers/engine/runtime/learned_basis.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "workers/engine/runtime/level_table.h"
#include "workers/engine/runtime/sorted_values.h"

namespace condense::runtime {
namespace {

constexpr int kTurns = 50;

using Basis = std::vector<double>;

struct SignedLevel {
  double value = 0;
  // As LevelTable::origin.
  int64_t signs = 0;
};

double SignOf(int64_t signs, size_t k) { return (signs >> k & 1) ? 1 : -1; }

std::vector<SignedLevel> LevelsOf(const Basis& basis) {
  std::vector<SignedLevel> levels(size_t{1} << basis.size());
  for (size_t i = 0; i < levels.size(); ++i) {
    levels[i].signs = static_cast<int64_t>(i);
    for (size_t k = 0; k < basis.size(); ++k) {
      levels[i].value += SignOf(levels[i].signs, k) * basis[k];
    }
  }
  std::sort(levels.begin(), levels.end(), [](const auto& a, const auto& b) {
    return std::pair(a.value, a.signs) < std::pair(b.value, b.signs);
  });
  return levels;
}

std::vector<double> ValuesOf(const std::vector<SignedLevel>& levels) {
  std::vector<double> values;
  for (const SignedLevel& level : levels) values.push_back(level.value);
  return values;
}

// Solves a x = b for a symmetric positive definite a by elimination; b becomes
// x.
void Solve(std::vector<Basis>* a, Basis* b) {
  const size_t n = b->size();
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = i + 1; j < n; ++j) {
      const double f = (*a)[j][i] / (*a)[i][i];
      for (size_t k = i; k < n; ++k) (*a)[j][k] -= f * (*a)[i][k];
      (*b)[j] -= f * (*b)[i];
    }
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) (*b)[i] -= (*a)[i][k] * (*b)[k];
    (*b)[i] /= (*a)[i][i];
  }
}

// (B B^T)^-1 B w from what fell to each choice of signs. Directions that the
// signs leave open keep the basis.
Basis BestBasis(const std::vector<SignedLevel>& levels,
                const std::vector<SortedValues::Cell>& cells,
                const Basis& basis) {
  const size_t bits = basis.size();
  std::vector<Basis> a(bits, Basis(bits, 0));
  Basis b(bits, 0);
  double count = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    count += cells[i].count;
    for (size_t k = 0; k < bits; ++k) {
      const double sign = SignOf(levels[i].signs, k);
      b[k] += sign * cells[i].sum;
      for (size_t j = 0; j < bits; ++j) {
        a[k][j] += sign * SignOf(levels[i].signs, j) * cells[i].count;
      }
    }
  }
  if (count == 0) return basis;
  for (size_t k = 0; k < bits; ++k) {
    a[k][k] += 1e-6 * count;
    b[k] += 1e-6 * count * basis[k];
  }
  Solve(&a, &b);
  return b;
}

// Levels that are `step` apart, but for two in the middle that are one: the
// 2^bits - 1 of symmetric weights.
Basis Uniform(int bits, double step) {
  const double most = static_cast<double>((int64_t{1} << bits) / 2 - 1);
  if (bits == 1) return {step};
  Basis basis = {step * most / 2};
  for (int k = bits - 2; k >= 0; --k) {
    basis.push_back(step * static_cast<double>(int64_t{1} << k) / 2);
  }
  return basis;
}

// Numbers of which each is `ratio` times the next, with `most` as their sum.
Basis Geometric(int bits, double ratio, double most) {
  Basis basis;
  double sum = 0;
  for (int k = 0; k < bits; ++k) {
    basis.push_back(std::pow(ratio, -k));
    sum += basis.back();
  }
  for (double& v : basis) v *= most / sum;
  return basis;
}

std::vector<Basis> Starts(int bits, double most) {
  const double steps =
      static_cast<double>(std::max<int64_t>(1, (int64_t{1} << bits) / 2 - 1));
  std::vector<Basis> starts;
  for (const double clip : {1.0, 0.8, 0.6, 0.45, 0.3}) {
    starts.push_back(Uniform(bits, clip * most / steps));
    for (const double ratio : {1.6, 2.0, 2.6}) {
      if (bits > 1) starts.push_back(Geometric(bits, ratio, clip * most));
    }
  }
  return starts;
}

}  // namespace

std::vector<float> FitBasis(const std::vector<float>& weights, int bits) {
  const SortedValues sorted(weights);
  const double most = weights.empty()
                          ? 0
                          : std::max<double>(std::abs(sorted.values().front()),
                                             std::abs(sorted.values().back()));
  Basis best;
  double least = HUGE_VAL;
  for (Basis& basis : Starts(bits, most)) {
    for (int turn = 0; turn < kTurns; ++turn) {
      const std::vector<SignedLevel> levels = LevelsOf(basis);
      Basis next = BestBasis(levels, sorted.Cells(ValuesOf(levels)), basis);
      const bool same = next == basis;
      basis = std::move(next);
      if (same) break;
    }
    const double error = sorted.Error(ValuesOf(LevelsOf(basis)));
    if (error < least) {
      least = error;
      best = std::move(basis);
    }
  }
  return {best.begin(), best.end()};
}

void FollowBasis(const float* weights, int64_t n, int bits, double keep,
                 float* basis) {
  const Basis before(basis, basis + bits);
  const std::vector<SignedLevel> levels = LevelsOf(before);
  std::vector<float> values;
  for (const SignedLevel& level : levels) {
    values.push_back(static_cast<float>(level.value));
  }
  std::vector<SortedValues::Cell> cells(levels.size());
  for (int64_t i = 0; i < n; ++i) {
    SortedValues::Cell& cell = cells[NearestLevel(values, weights[i])];
    ++cell.count;
    cell.sum += weights[i];
  }
  const Basis best = BestBasis(levels, cells, before);
  for (int k = 0; k < bits; ++k) {
    basis[k] = static_cast<float>(keep * before[k] + (1 - keep) * best[k]);
  }
}

}  // namespace condense::runtime
