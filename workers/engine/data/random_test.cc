#include "workers/engine/data/random.h"

#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

TEST(RandomTest, TheSameSeedGivesTheSameStream) {
  // The reference values of SplitMix64 from state 1234567 (Vigna's splitmix64.c
  // as Rosetta Code prints them).
  Random random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317ull);
  EXPECT_EQ(random.Next(), 3203168211198807973ull);
  Random a(5, 1), b(5, 1), other_stream(5, 2), other_seed(6, 1);
  const uint64_t first = a.Next();
  EXPECT_EQ(b.Next(), first);
  EXPECT_NE(other_stream.Next(), first);
  EXPECT_NE(other_seed.Next(), first);
}

TEST(RandomTest, BelowReachesEveryValueAndNothingElse) {
  Random random(3);
  std::vector<int> counts(7);
  for (int i = 0; i < 7000; ++i) ++counts.at(random.Below(7));
  // 1000 each; the standard deviation is 29.
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);
}

TEST(RandomTest, ShuffleKeepsTheValuesAndReachesEveryOrder) {
  Random random(3);
  std::map<std::vector<int>, int> orders;
  for (int i = 0; i < 6000; ++i) {
    std::vector<int> values = {1, 2, 3};
    random.Shuffle(&values);
    ++orders[values];
  }
  EXPECT_EQ(orders.size(), 6u);
  for (const auto& [order, count] : orders) EXPECT_NEAR(count, 1000, 150);
}

TEST(RandomTest, UniformNumbersFillTheirRangeEvenly) {
  Random random(4);
  std::vector<int> counts(10);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = random.Uniform(-3, 7);
    ASSERT_GE(value, -3);
    ASSERT_LT(value, 7);
    ++counts[static_cast<int>(value + 3)];
    sum += value;
  }
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);
  // The standard deviation of the mean is .029.
  EXPECT_NEAR(sum / 10000, 2, 0.15);
}

}  // namespace
}  // namespace condense::data
