#include "workers/engine/quantization/histogram.h"

#include <limits>
#include <numeric>
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
  std::vector<double> bins = {1, 0, 0, 0};
  const std::vector<float> values = {-5, 0.1f, 0.6f,      0.9f, 1.2f,
                                     7,  kNan, kInfinity, 1.9f};
  EXPECT_EQ(CountInto(values, 0, 2, 4, bins.data()), 7);
  EXPECT_THAT(bins, ElementsAre(3, 2, 1, 2));
}

TEST(HistogramTest, LongInputsLoseNoCount) {
  std::vector<float> values(5003);
  std::iota(values.begin(), values.end(), 0.0f);
  std::vector<double> bins(10, 0);
  EXPECT_EQ(CountInto(values, 0, 10 / 5003.0f, 10, bins.data()), 5003);
  for (double bin : bins) EXPECT_NEAR(bin, 500.3, 1);
}

}  // namespace
}  // namespace condense::quantization
