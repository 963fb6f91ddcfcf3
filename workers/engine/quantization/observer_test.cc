#include "workers/engine/quantization/observer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "workers/engine/data/random.h"

namespace condense::quantization {
namespace {

constexpr Levels kUnsigned{0, 255};

// Evenly spread over [low, high).
std::vector<float> Uniform(int count, double low, double high) {
  std::vector<float> values;
  for (int i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(low + (high - low) * i / count));
  }
  return values;
}

Grid Choose(const std::vector<std::vector<float>>& batches, ObserverKind kind,
            bool symmetric = false) {
  Observer observer({.kind = kind});
  for (const auto& batch : batches) observer.Add(batch);
  return observer.Choose(symmetric, kUnsigned);
}

TEST(ObserverTest, MinMaxCoversWhatWasSeenInAllBatches) {
  Observer observer({.kind = ObserverKind::kMinMax});
  EXPECT_TRUE(observer.empty());
  observer.Add({});
  EXPECT_TRUE(observer.empty());
  for (std::vector<float> batch : {std::vector<float>{0.5f, 1}, {-1}, {4.1f}}) {
    observer.Add(batch);
  }
  EXPECT_FALSE(observer.empty());
  EXPECT_EQ(observer.low(), -1);
  EXPECT_FLOAT_EQ(observer.high(), 4.1f);
  // 5.1 / 255 = .02, zero at 50; symmetric: 4.1 / 127, zero in the middle.
  const Grid affine = observer.Choose(false, kUnsigned);
  EXPECT_NEAR(affine.scale, 0.02, 1e-8);
  EXPECT_EQ(affine.zero_point, 50);
  const Grid symmetric = observer.Choose(true, kUnsigned);
  EXPECT_NEAR(symmetric.scale, 4.1 / 127, 1e-8);
  EXPECT_EQ(symmetric.zero_point, 128);
}

TEST(ObserverTest, NothingSeenGivesAUsableGrid) {
  for (ObserverKind kind :
       {ObserverKind::kMinMax, ObserverKind::kMovingAverage, ObserverKind::kMse,
        ObserverKind::kPercentile, ObserverKind::kEntropy}) {
    EXPECT_GT(Choose({}, kind).scale, 0);
    EXPECT_GT(Choose({{0, 0, 0}}, kind).scale, 0);
  }
}

TEST(ObserverTest, PercentileLeavesTheTailsOut) {
  // 3 of 100,003 lie at 100: fewer than the 5 that may be left out above.
  const Grid grid = Choose({Uniform(100000, 0, 1), {100, 100, 100}},
                           ObserverKind::kPercentile);
  // Bins are 100 / 2048 to 128 / 2048 wide by then.
  EXPECT_GT(grid.scale * 255, 0.99);
  EXPECT_LT(grid.scale * 255, 1.13);
  // 8 do not fit into the tail.
  const Grid kept = Choose({Uniform(100000, 0, 1), std::vector<float>(8, 100)},
                           ObserverKind::kPercentile);
  EXPECT_NEAR(kept.scale * 255, 100, 0.1);
}

TEST(ObserverTest, RangesThatGrowToEitherSideLoseNoCount) {
  // Were counts lost or moved when the range doubles, the tails would hold
  // more or less than they do.
  const std::vector<float> middle = Uniform(100000, -1, 1);
  const std::vector<std::vector<float>> growing = {middle, {-3},   {9},  {-30},
                                                   {90},   {-100}, {100}};
  const Grid grid = Choose(growing, ObserverKind::kPercentile);
  EXPECT_NEAR(grid.scale * 255, 2, 0.55);
  EXPECT_NEAR(grid.zero_point, 127.5, 30);
  const std::vector<std::vector<float>> shrinking(growing.rbegin(),
                                                  growing.rend());
  const Grid other = Choose(shrinking, ObserverKind::kPercentile);
  EXPECT_NEAR(other.scale * 255, 2, 0.55);
  // Four more on one side, and the tail of 5 there is full.
  std::vector<std::vector<float>> more = growing;
  for (int i = 0; i < 3; ++i) more.push_back({100});
  EXPECT_NEAR(Choose(more, ObserverKind::kPercentile).scale * 255, 10, 1.5);
}

TEST(ObserverTest, ManyDoublingsFromAConstantStartStillResolveTheRange) {
  std::vector<std::vector<float>> batches = {
      {0, 0}, {1e-6f}, Uniform(50000, 0, 1)};
  const Grid grid = Choose(batches, ObserverKind::kPercentile);
  EXPECT_NEAR(grid.scale * 255, 1, 2e-3);
  const Grid far = Choose({{1000}, {1000.5f}, {999}}, ObserverKind::kMinMax);
  EXPECT_NEAR(far.scale * 255, 1000.5, 1e-3);
}

TEST(ObserverTest, MseClipsAnOutlierWhereThatCostsLeast) {
  // 1,000,000 values in [0, 1) and one at 10. At a share t of the range the
  // rounding costs 1e6 (10 t / 255)^2 / 12 = 128 t^2 and the clipping
  // 100 (1 - t)^2: least at t = 100 / 228 = .44.
  const std::vector<float> body = Uniform(1000000, 0, 1);
  const Grid grid = Choose({body, {10}}, ObserverKind::kMse);
  EXPECT_GT(grid.scale * 255, 3.8);
  EXPECT_LT(grid.scale * 255, 5.0);
  EXPECT_EQ(grid.zero_point, 0);
}

TEST(ObserverTest, MseKeepsAnEvenDistributionWhole) {
  for (bool symmetric : {false, true}) {
    const Grid grid =
        Choose({Uniform(100000, -1, 1)}, ObserverKind::kMse, symmetric);
    EXPECT_NEAR(grid.scale * 255, 2, 0.03);
  }
}

TEST(ObserverTest, MseIsNoWorseThanMinMaxOnTheValuesThemselves) {
  data::Random random(7);
  std::vector<float> values;
  for (int i = 0; i < 200000; ++i) {
    // Exponential: a long tail to one side.
    const double u = (random.Below(1 << 20) + 0.5) / (1 << 20);
    values.push_back(static_cast<float>(-std::log(u)));
  }
  auto error = [&](const Grid& grid) {
    double sum = 0;
    for (float v : values) {
      const double q =
          grid.scale * static_cast<double>(QuantizeValue(v, grid, kUnsigned) -
                                           grid.zero_point);
      sum += (v - q) * (v - q);
    }
    return sum;
  };
  EXPECT_LT(error(Choose({values}, ObserverKind::kMse)),
            0.9 * error(Choose({values}, ObserverKind::kMinMax)));
}

TEST(ObserverTest, InfinitiesAndNanArePassedOver) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Observer observer;
  observer.Add(std::vector<float>{nan, infinity});
  EXPECT_TRUE(observer.empty());
  observer.Add(std::vector<float>{nan, 0, 5.1f, -infinity, infinity});
  EXPECT_EQ(observer.low(), 0);
  EXPECT_NEAR(observer.Choose(false, kUnsigned).scale, 0.02, 1e-3);
}

TEST(ObserverTest, TheMovingAverageTakesATenthOfEachNewBatch) {
  // low: 0, -.1, -.19; high: 1, 1.1, 1.09.
  const Grid grid =
      Choose({{0, 1}, {-1, 2}, {-1, 1}}, ObserverKind::kMovingAverage);
  EXPECT_NEAR(grid.scale, (1.09 + 0.19) / 255, 1e-6);
  EXPECT_EQ(grid.zero_point, 38);
}

TEST(ObserverTest, AWiderPercentileKeepsMoreOfTheTail) {
  Observer observer({.kind = ObserverKind::kPercentile, .percentile = 99.999});
  observer.Add(Uniform(100000, 0, 1));
  observer.Add(std::vector<float>{100, 100, 100});
  // .5 of 100,003 values may be left out above: none is.
  EXPECT_NEAR(observer.Choose(false, kUnsigned).scale * 255, 100, 0.1);
}

TEST(ObserverTest, EntropyClipsThinTailsAndKeepsAnEvenDistributionWhole) {
  data::Random random(7);
  std::vector<float> values;
  for (int i = 0; i < 400000; ++i) {
    const double u = (random.Below(1 << 20) + 0.5) / (1 << 20);
    values.push_back(static_cast<float>(-std::log(u)));
  }
  const double high = *std::max_element(values.begin(), values.end());
  const Grid thin = Choose({values}, ObserverKind::kEntropy);
  EXPECT_LT(thin.scale * 255, 0.9 * high);
  EXPECT_GT(thin.scale * 255, 0.33 * high);
  const Grid even = Choose({Uniform(100000, -1, 1)}, ObserverKind::kEntropy);
  EXPECT_NEAR(even.scale * 255, 2, 0.05);
}

TEST(ObserverTest, SaysWhenItSawOneValueOnly) {
  Observer observer;
  EXPECT_FALSE(observer.constant());
  observer.Add(std::vector<float>{3, 3});
  EXPECT_TRUE(observer.constant());
  EXPECT_GT(observer.Choose(false, kUnsigned).scale, 0);
  observer.Add(std::vector<float>{3, 4});
  EXPECT_FALSE(observer.constant());
}

}  // namespace
}  // namespace condense::quantization
