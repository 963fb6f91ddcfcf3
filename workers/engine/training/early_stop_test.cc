#include "workers/engine/training/early_stop.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace condense::training {
namespace {

using Metric = EarlyStopOptions::Metric;

// "b" where a score was the best, "." where not, "!" when it ends.
std::string Scores(EarlyStopOptions options,
                   const std::vector<double>& scores) {
  EarlyStop stop(options);
  std::string text;
  for (double score : scores) {
    text +=
        stop.IsBest({{{"top1", score}, {"loss", score}}, "top1"}) ? "b" : ".";
    if (stop.exhausted()) return text + "!";
    // As after a restart.
    EarlyStop other(options);
    other.Restore(stop.State());
    EXPECT_TRUE(torch::equal(other.State(), stop.State()));
  }
  return text;
}

TEST(EarlyStopTest, EndsAfterSoManyMeasurementsWithoutProgress) {
  EXPECT_EQ(Scores({.patience = 2}, {0.5, 0.6, 0.6, 0.7, 0.1, 0.2, 0.9}),
            "bb.b..!");
  EXPECT_EQ(
      Scores({.metric = Metric::kLoss, .patience = 2}, {3, 2, 2.5, 1, 4, 5}),
      "bb.b..!");
}

TEST(EarlyStopTest, SmallStepsAreNoProgress) {
  EXPECT_EQ(Scores({.patience = 3, .min_delta = 0.1}, {0.5, 0.55, 0.59, 0.65}),
            "b..b");
}

TEST(EarlyStopTest, WhatIsNoNumberIsNeverTheBest) {
  EXPECT_EQ(Scores({.metric = Metric::kLoss, .patience = 2},
                   {std::nan(""), 2, std::nan(""), 3}),
            ".b..!");
}

TEST(EarlyStopTest, WhatWasNotMeasuredIsNeverTheBest) {
  EarlyStop stop({.patience = 2});
  EXPECT_FALSE(stop.IsBest({{{"eer", 0.1}}, "accuracy"}));
  EXPECT_TRUE(stop.IsBest({{{"accuracy", 0.1}}, "accuracy"}));
}

TEST(EarlyStopTest, GoesOnFromItsState) {
  EarlyStop stop({.patience = 2});
  EXPECT_TRUE(stop.IsBest({{{"top1", 0.5}}, "top1"}));
  EXPECT_FALSE(stop.IsBest({{{"top1", 0.4}}, "top1"}));
  EarlyStop resumed({.patience = 2});
  resumed.Restore(stop.State());
  EXPECT_FALSE(resumed.exhausted());
  EXPECT_FALSE(resumed.IsBest({{{"top1", 0.5}}, "top1"}));
  EXPECT_TRUE(resumed.exhausted());
}

}  // namespace
}  // namespace condense::training
