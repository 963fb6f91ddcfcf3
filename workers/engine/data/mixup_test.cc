#include "workers/engine/data/mixup.h"

#include <cmath>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::data {
namespace {

TEST(MixupTest, LambdaHasTheMomentsOfItsBetaDistribution) {
  // Mean 1/2, variance 1 / (4 (2 alpha + 1)).
  for (double alpha : {0.2, 1.0, 4.0}) {
    Random random(7);
    const int draws = 20000;
    double sum = 0, squares = 0;
    for (int i = 0; i < draws; ++i) {
      const double lambda = DrawBeta(alpha, &random);
      ASSERT_GE(lambda, 0);
      ASSERT_LE(lambda, 1);
      sum += lambda;
      squares += (lambda - 0.5) * (lambda - 0.5);
    }
    EXPECT_NEAR(sum / draws, 0.5, 0.015) << alpha;
    EXPECT_NEAR(squares / draws, 1 / (4 * (2 * alpha + 1)), 0.006) << alpha;
  }
}

TEST(MixupTest, ATinyAlphaKeepsOneOfTheTwo) {
  Random random(7);
  for (int i = 0; i < 100; ++i) {
    const double lambda = DrawBeta(1e-6, &random);
    ASSERT_TRUE(lambda < 1e-3 || lambda > 1 - 1e-3) << lambda;
  }
}

TEST(MixupTest, EverySampleIsItsShareAndThatOfItsPartner) {
  Random random(9);
  // Sample i holds 10^i twice.
  std::vector<float> values = {1, 1, 10, 10, 100, 100, 1000, 1000};
  const std::vector<float> before = values;
  const Mixing mixing = Mix(1, 4, &random, &values);
  ASSERT_EQ(mixing.partner.size(), 4u);
  EXPECT_EQ(std::set<int64_t>(mixing.partner.begin(), mixing.partner.end()),
            (std::set<int64_t>{0, 1, 2, 3}));
  ASSERT_GT(mixing.lambda, 0);
  ASSERT_LT(mixing.lambda, 1);
  for (int i = 0; i < 4; ++i) {
    const double expected = mixing.lambda * before[2 * i] +
                            (1 - mixing.lambda) * before[2 * mixing.partner[i]];
    EXPECT_NEAR(values[2 * i], expected, 1e-3);
    EXPECT_EQ(values[2 * i], values[2 * i + 1]);
  }
}

}  // namespace
}  // namespace condense::data
