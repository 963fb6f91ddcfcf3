#include "workers/engine/runtime/learned_basis.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "workers/engine/runtime/level_table.h"
#include "workers/engine/runtime/lookup_table.h"
#include "workers/engine/runtime/sorted_values.h"
#include "workers/engine/runtime/weight_projection.h"

namespace condense::runtime {
namespace {

using Values = std::vector<float>;

std::vector<double> LevelsOf(TableKind kind, const Values& row) {
  // So fine a grid that it is none.
  const LevelTable table =
      LevelTableOf(kind, row.data(), static_cast<int64_t>(row.size()), 1 << 20);
  return {table.levels.begin(), table.levels.end()};
}

double UniformError(Values w, int bits) {
  Values y(w.size());
  ProjectWeights(Projection::kMaxAbs, w.data(), static_cast<int64_t>(w.size()),
                 (1 << (bits - 1)) - 1, y.data());
  double error = 0;
  for (size_t i = 0; i < w.size(); ++i) error += std::pow(w[i] - y[i], 2);
  return error;
}

// Bell-shaped, with a tail.
Values Weights() {
  Values w;
  for (int i = 0; i < 500; ++i) {
    w.push_back(std::pow(std::sin(0.37f * i) + 0.3f * std::sin(7.1f * i), 3.f));
  }
  return w;
}

TEST(SortedValuesTest, CellsAndErrorAreThoseOfTheNearestLevels) {
  const SortedValues sorted({3, -1, 0.5f, 1.5f});
  // Middles at 0 and 1.5, which goes to the lower level.
  const auto cells = sorted.Cells({-1, 1, 2});
  EXPECT_EQ(cells[0].count, 1);
  EXPECT_EQ(cells[1].count, 2);
  EXPECT_EQ(cells[1].sum, 2);
  EXPECT_EQ(cells[2].sum, 3);
  // .25 + .25 + 1.
  EXPECT_NEAR(sorted.Error({-1, 1, 2}), 1.5, 1e-9);
}

TEST(LearnedBasisTest, OneBitIsTheMeanOfTheSizes) {
  EXPECT_NEAR(std::abs(FitBasis({1, -2, 3, -4}, 1)[0]), 2.5, 1e-5);
}

TEST(LearnedBasisTest, WeightsOnABasisAreFoundExactly) {
  // +-3 +-1.
  const Values w = {4, 2, -2, -4, 4, -2};
  const SortedValues sorted(w);
  EXPECT_NEAR(sorted.Error(LevelsOf(TableKind::kBasis, FitBasis(w, 2))), 0,
              1e-6);
}

TEST(LearnedBasisTest, OneTurnMovesATenthOfTheWayToTheBest) {
  // With v = (2, 1): 5, 4 -> 3 = ++; 1 -> 1 = +-; -1 -> -1 = -+; -3 -> -3.
  // B = [1 1 1 -1 -1; 1 1 -1 1 -1]: B B^T = [5 1; 1 5], B w = (14, 10): v' =
  // (60, 36) / 24 = (2.5, 1.5).
  const Values w = {5, 4, 1, -1, -3};
  Values v = {2, 1};
  FollowBasis(w.data(), 5, 2, 0.9, v.data());
  EXPECT_NEAR(v[0], 2.05, 1e-5);
  EXPECT_NEAR(v[1], 1.05, 1e-5);
}

TEST(LearnedBasisTest, LosesLessThanUniformLevels) {
  const Values w = Weights();
  const SortedValues sorted(w);
  for (int bits : {2, 3, 4}) {
    const double lq =
        sorted.Error(LevelsOf(TableKind::kBasis, FitBasis(w, bits)));
    EXPECT_LT(lq, 0.9 * UniformError(w, bits)) << bits;
    // Free levels can do what sums can.
    EXPECT_LE(sorted.Error(LevelsOf(TableKind::kLevels, FitLevels(w, bits))),
              lq * 1.0001)
        << bits;
  }
}

TEST(LookupTableTest, LevelsAreTheMeansOfTheirWeights) {
  // {-4, -3} {0} {1, 1.2} {6}.
  const Values levels = FitLevels({6, 1, 1.2f, 0, -4, -3}, 2);
  ASSERT_EQ(levels.size(), 4u);
  EXPECT_FLOAT_EQ(levels[0], -3.5f);
  EXPECT_FLOAT_EQ(levels[1], 0);
  EXPECT_FLOAT_EQ(levels[2], 1.1f);
  EXPECT_FLOAT_EQ(levels[3], 6);
}

TEST(LookupTableTest, FewValuesAreKept) {
  EXPECT_EQ(FitLevels({2, -1, 2, 2}, 2), (Values{-1, 2, 2, 2}));
  EXPECT_EQ(FitLevels({0, 0}, 2), (Values{0, 0, 0, 0}));
}

TEST(LevelTableTest, LevelsAreIntegersTimesTheScale) {
  // Sums of +-2 +-.9: the largest, 2.9, is 63.
  const Values v = {2, 0.9f};
  const LevelTable table = LevelTableOf(TableKind::kBasis, v.data(), 2, 63);
  EXPECT_FLOAT_EQ(table.scale, 2.9f / 63);
  ASSERT_EQ(table.levels.size(), 4u);
  // 1.1 / 2.9 * 63 = 23.9.
  EXPECT_EQ(table.levels[2], 24 * table.scale);
  EXPECT_EQ(table.levels[3], 63 * table.scale);
  EXPECT_EQ(table.levels[0], -table.levels[3]);
  EXPECT_EQ(table.origin, (std::vector<int64_t>{0, 2, 1, 3}));
  EXPECT_EQ(NearestLevel(table.levels, 0), 1);
  EXPECT_EQ(NearestLevel(table.levels, 0.01f), 2);
  EXPECT_EQ(NearestLevel(table.levels, 100), 3);
}

TEST(LevelTableTest, AllZerosHaveAScale) {
  const Values basis = FitBasis({0, 0, 0}, 3);
  EXPECT_GT(LevelTableOf(TableKind::kBasis, basis.data(), 3, 63).scale, 0);
}

}  // namespace
}  // namespace condense::runtime
