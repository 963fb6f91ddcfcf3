#include "workers/engine/quantization/histogram.h"

#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::quantization {
namespace {

using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(HistogramTest,
     TheRangeHasTheSmallestAndLargestFiniteValueWhereverTheyAre) {
  for (size_t place : {0, 63, 64, 150, 198}) {
    std::vector<float> values(199, 0.5f);
    values[place] = -2;
    values[(place + 1) % 199] = 3;
    values[(place + 2) % 199] = kNan;
    values[(place + 3) % 199] = kInfinity;
    values[(place + 4) % 199] = -kInfinity;
    const Range range = RangeOf(values);
    EXPECT_EQ(range.low, -2) << place;
    EXPECT_EQ(range.high, 3) << place;
  }
}

TEST(HistogramTest, NothingFiniteHasAnEmptyRange) {
  for (const std::vector<float>& values :
       {std::vector<float>{}, std::vector<float>(200, kNan)}) {
    const Range range = RangeOf(values);
    EXPECT_GT(range.low, range.high);
  }
}

TEST(HistogramTest, CountsAddUpAndWhatIsOutsideGoesToTheEnds) {
  const std::vector<float> values = {-5, 0.1f, 0.6f,      0.9f, 1.2f,
                                     7,  kNan, kInfinity, 1.9f};
  const Count count = CountValues(values, 0, 2, 4);
  EXPECT_THAT(count.bins, ElementsAre(2, 2, 1, 2));
  EXPECT_EQ(count.finite, 7);
  EXPECT_EQ(count.range.low, -5);
  EXPECT_EQ(count.range.high, 7);
}

TEST(HistogramTest, LongInputsLoseNoCount) {
  std::vector<float> values(5003);
  std::iota(values.begin(), values.end(), 0.0f);
  const Count count = CountValues(values, 0, 10 / 5003.0f, 10);
  EXPECT_EQ(count.finite, 5003);
  for (int64_t bin : count.bins) EXPECT_NEAR(bin, 500.3, 1);
  EXPECT_EQ(count.range.low, 0);
  EXPECT_EQ(count.range.high, 5002);
}

TEST(HistogramTest, TheErrorOnAGridIsThatOfTheNearestLevelWithinIt) {
  // Levels -1 to 2 of .5: -.5, 0, .5, 1. Lost: .2, .25 (half to even: 0),
  // .15, .5; longer than what is worked on at once.
  std::vector<double> values, counts;
  double want = 0;
  for (int i = 0; i < 9; ++i) {
    for (const auto& [value, lost] :
         {std::pair{-0.7, 0.2}, {0.25, 0.25}, {0.65, 0.15}, {1.5, 0.5}}) {
      values.push_back(value);
      counts.push_back(i + 1);
      want += (i + 1) * lost * lost;
    }
  }
  EXPECT_NEAR(SquaredError(values, counts, 0.5, -1, 2), want, 1e-9);
}

}  // namespace
}  // namespace condense::quantization
