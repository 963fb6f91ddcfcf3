#include "workers/engine/quantization/quantizer.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"

namespace condense::quantization {
namespace {

void ExpectGrid(const Grid& grid, double scale, int32_t zero_point) {
  EXPECT_FLOAT_EQ(grid.scale, static_cast<float>(scale));
  EXPECT_EQ(grid.zero_point, zero_point);
}

TEST(LevelsTest, WeightsAreSymmetricAndActivationsUseAllLevels) {
  for (auto [bits, qmax] :
       {std::pair<int, int64_t>{8, 127}, {7, 63}, {4, 7}, {2, 1}}) {
    EXPECT_EQ(WeightLevels(bits).qmin, -qmax);
    EXPECT_EQ(WeightLevels(bits).qmax, qmax);
  }
  EXPECT_EQ(ActivationLevels(true).qmin, 0);
  EXPECT_EQ(ActivationLevels(true).qmax, 255);
  EXPECT_EQ(ActivationLevels(false).qmin, -128);
  EXPECT_EQ(ActivationLevels(false).qmax, 127);
}

TEST(AffineGridTest, SpreadsTheRangeOverTheLevels) {
  // (4.1 + 1) / 255 = .02; 0 + 1 / .02 = 50; -128 + 50 = -78.
  ExpectGrid(AffineGrid(-1, 4.1, {0, 255}), 0.02, 50);
  ExpectGrid(AffineGrid(-1, 4.1, {-128, 127}), 0.02, -78);
}

TEST(AffineGridTest, ContainsZeroExactly) {
  ExpectGrid(AffineGrid(2, 5.1, {0, 255}), 0.02, 0);
  ExpectGrid(AffineGrid(-5.1, -2, {0, 255}), 0.02, 255);
  for (double low : {-0.013, -1.7, -300.0}) {
    const Grid grid = AffineGrid(low, 1, {0, 255});
    EXPECT_EQ(QuantizeValue(0, grid, {0, 255}), grid.zero_point);
  }
}

TEST(AffineGridTest, AnEmptyRangeGivesAPositiveScale) {
  ExpectGrid(AffineGrid(0, 0, {0, 255}), 1.0 / 255, 0);
  const Grid tiny = AffineGrid(-1e-40, 1e-40, {0, 255});
  EXPECT_GT(tiny.scale, 0);
  EXPECT_TRUE(std::isfinite(1 / tiny.scale));
}

TEST(SymmetricGridTest, PutsZeroInTheMiddle) {
  // 2.54 / 127 = .02.
  ExpectGrid(SymmetricGrid(2.54, {-127, 127}), 0.02, 0);
  ExpectGrid(SymmetricGrid(2.54, {-128, 127}), 0.02, 0);
  ExpectGrid(SymmetricGrid(2.54, {0, 255}), 0.02, 128);
  ExpectGrid(SymmetricGrid(0.21, {-7, 7}), 0.03, 0);
  ExpectGrid(SymmetricGrid(0, {-127, 127}), 1.0 / 127, 0);
}

TEST(QuantizeValueTest, RoundsHalfToEvenBeforeTheZeroPointIsAdded) {
  const Levels levels{0, 255};
  const Grid grid{0.5f, 10};
  // x / .5 = .5, 1.5, 2.5, -.5, -1.5 becomes 0, 2, 2, 0, -2.
  EXPECT_EQ(QuantizeValue(0.25f, grid, levels), 10);
  EXPECT_EQ(QuantizeValue(0.75f, grid, levels), 12);
  EXPECT_EQ(QuantizeValue(1.25f, grid, levels), 12);
  EXPECT_EQ(QuantizeValue(-0.25f, grid, levels), 10);
  EXPECT_EQ(QuantizeValue(-0.75f, grid, levels), 8);
  // With an odd zero point: round(.5) + 1, not round(1.5).
  EXPECT_EQ(QuantizeValue(0.25f, {0.5f, 1}, levels), 1);
}

TEST(QuantizeValueTest, TiesAtBothEndsAndBeyondStayWithinTheLevels) {
  const Levels levels{0, 255};
  const Grid grid{0.5f, 10};
  // -10.5 becomes -10: level 0. -9.5 becomes -10 too, -8.5 becomes -8.
  EXPECT_EQ(QuantizeValue(-5.25f, grid, levels), 0);
  EXPECT_EQ(QuantizeValue(-4.75f, grid, levels), 0);
  EXPECT_EQ(QuantizeValue(-4.25f, grid, levels), 2);
  EXPECT_EQ(QuantizeValue(-5.75f, grid, levels), 0);
  // 244.5 becomes 244: level 254. 245.5 becomes 246: 256, clipped.
  EXPECT_EQ(QuantizeValue(122.25f, grid, levels), 254);
  EXPECT_EQ(QuantizeValue(122.75f, grid, levels), 255);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(QuantizeValue(infinity, grid, levels), 255);
  EXPECT_EQ(QuantizeValue(-infinity, grid, levels), 0);
  EXPECT_EQ(QuantizeValue(-1000, {0.5f, 0}, {-127, 127}), -127);
}

}  // namespace
}  // namespace condense::quantization
