#include "workers/engine/runtime/weight_projection.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace condense::runtime {
namespace {

struct Projected {
  float scale = 0;
  std::vector<float> y;
};

Projected Project(Projection projection, const std::vector<float>& w,
                  int64_t qmax) {
  Projected out{0, std::vector<float>(w.size())};
  out.scale = ProjectWeights(
      projection, w.data(), static_cast<int64_t>(w.size()), qmax, out.y.data());
  return out;
}

using Values = std::vector<float>;

TEST(WeightProjectionTest, MaxAbsIsTheGridThatJustHoldsTheWeights) {
  const Projected p = Project(Projection::kMaxAbs, {3.5f, -1.2f, 0.2f, 1}, 7);
  EXPECT_EQ(p.scale, 0.5f);
  // -2.4 -> -2, .4 -> 0.
  EXPECT_EQ(p.y, (Values{3.5f, -1, 0, 1}));
}

TEST(WeightProjectionTest, PowersOfTwoRoundTheScaleUp) {
  // .6 / 7 = .0857: 2^-3.
  const Projected p = Project(Projection::kPowerOfTwo, {0.6f, -0.3f, 0.05f}, 7);
  EXPECT_EQ(p.scale, 0.125f);
  EXPECT_EQ(p.y, (Values{0.625f, -0.25f, 0}));
  // One that is a power already stays.
  EXPECT_EQ(Project(Projection::kPowerOfTwo, {3.5f, 1}, 7).scale, 0.5f);
}

TEST(WeightProjectionTest, LogLevelsAreTheNearestPowersOfTwo) {
  // 4 bits: qmax 7, the largest power 4, s = 4 / 4.
  const Projected p =
      Project(Projection::kLog2, {-4, 3.1f, 2.9f, 1.6f, 1.4f, -0.6f, 0.4f}, 7);
  EXPECT_EQ(p.scale, 1);
  EXPECT_EQ(p.y, (Values{-4, 4, 2, 2, 1, -1, 0}));
}

TEST(WeightProjectionTest, BinaryIsTheSignTimesTheMean) {
  const Projected p = Project(Projection::kBinary, {1, -2, 0, 5}, 1);
  EXPECT_EQ(p.scale, 2);
  EXPECT_EQ(p.y, (Values{2, -2, 2, 2}));
}

TEST(WeightProjectionTest, TernaryDropsWhatIsSmall) {
  // Mean 2, threshold 1.4, mean of what is left 3.
  const Projected p = Project(Projection::kTernary, {1, -2, 1, 4}, 1);
  EXPECT_FLOAT_EQ(p.scale, 3);
  EXPECT_EQ(p.y, (Values{0, -3, 0, 3}));
}

TEST(WeightProjectionTest, WeightsThatAreAllZeroHaveAScale) {
  for (const char* name :
       {"max_abs", "power_of_two", "log2", "binary", "ternary"}) {
    const Projected p = Project(*ProjectionOf(name), {0, 0}, 7);
    EXPECT_GT(p.scale, 0) << name;
    EXPECT_TRUE(std::isfinite(p.y[0])) << name;
  }
  EXPECT_FALSE(ProjectionOf("other").has_value());
}

// What is projected is on its own grid: a file that stores integers and the
// scale gives back the same numbers.
TEST(WeightProjectionTest, EveryResultIsAnIntegerTimesTheScale) {
  std::vector<float> w;
  for (int i = 0; i < 50; ++i) w.push_back(std::sin(1.7f * i) * 0.37f);
  for (const char* name :
       {"max_abs", "power_of_two", "log2", "binary", "ternary"}) {
    const Projected p = Project(*ProjectionOf(name), w, 7);
    for (float y : p.y) {
      const float level = std::nearbyint(y / p.scale);
      EXPECT_EQ(level * p.scale, y) << name;
      EXPECT_LE(std::abs(level), 7) << name;
    }
  }
}

TEST(WeightProjectionTest, ChannelsInTheMiddleHaveTheirOwnScale) {
  // [2, 2, 2]: channel 0 is {1, -1, 1, 1}, channel 1 {8, 8, -8, 8}.
  const Values w = {1, -1, 8, 8, 1, 1, -8, 8};
  Values y(8), scales(2);
  ProjectChannels(Projection::kBinary, w.data(), 2, 2, 2, 1, y.data(),
                  scales.data());
  EXPECT_EQ(scales, (Values{1, 8}));
  EXPECT_EQ(y, w);
}

}  // namespace
}  // namespace condense::runtime
