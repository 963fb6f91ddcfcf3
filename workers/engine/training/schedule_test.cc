#include "workers/engine/training/schedule.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace condense::training {
namespace {

// Rates of steps 0 to `total` - 1 with four steps an epoch.
std::vector<double> Rates(const ScheduleOptions& options, double lr,
                          int64_t total) {
  std::vector<double> rates;
  for (int64_t step = 0; step < total; ++step) {
    rates.push_back(LearningRate(options, lr, step, total, 4));
  }
  return rates;
}

void ExpectRates(const std::vector<double>& rates,
                 const std::vector<double>& wanted) {
  ASSERT_EQ(rates.size(), wanted.size());
  for (size_t i = 0; i < rates.size(); ++i) {
    EXPECT_NEAR(rates[i], wanted[i], 1e-9) << "step " << i;
  }
}

TEST(LearningRateTest, CosineFallsFromTheFullRateToTheFinalShare) {
  // cos of 0, 60, 120 degrees: 1, 1/2, -1/2.
  ExpectRates(Rates({.kind = Schedule::kCosine}, 0.4, 3), {0.4, 0.3, 0.1});
  ExpectRates(Rates({.kind = Schedule::kCosine, .final = 0.5}, 0.4, 3),
              {0.4, 0.35, 0.25});
  EXPECT_NEAR(LearningRate({}, 0.4, 10, 10, 4), 0, 1e-12);
}

TEST(LearningRateTest, ConstantStays) {
  ExpectRates(Rates({.kind = Schedule::kConstant}, 0.4, 3), {0.4, 0.4, 0.4});
  EXPECT_EQ(LearningRate({}, 0.4, 0, 0, 0), 0.4);
}

TEST(LearningRateTest, StepFallsByGammaAtWholeMultiplesOfItsEpochs) {
  const ScheduleOptions options = {
      .kind = Schedule::kStep, .every_epochs = 0.5, .gamma = 0.5};
  ExpectRates(Rates(options, 0.8, 6), {0.8, 0.8, 0.4, 0.4, 0.2, 0.2});
  // 0.3 of 10 steps is 3, though 3 / 10 / 0.3 is not quite 1.
  const ScheduleOptions odd = {
      .kind = Schedule::kStep, .every_epochs = 0.3, .gamma = 0.1};
  EXPECT_DOUBLE_EQ(LearningRate(odd, 1, 2, 20, 10), 1);
  EXPECT_DOUBLE_EQ(LearningRate(odd, 1, 3, 20, 10), 0.1);
  EXPECT_NEAR(LearningRate(odd, 1, 9, 20, 10), 0.001, 1e-12);
}

TEST(LearningRateTest, LinearFallsInAStraightLine) {
  ExpectRates(Rates({.kind = Schedule::kLinear}, 0.4, 4), {0.4, 0.3, 0.2, 0.1});
  ExpectRates(Rates({.kind = Schedule::kLinear, .final = 0.2}, 1, 4),
              {1, 0.8, 0.6, 0.4});
}

TEST(LearningRateTest, OneCycleRisesToThePeakAndFalls) {
  const ScheduleOptions options = {
      .kind = Schedule::kOneCycle, .start = 0.2, .peak_at = 0.4};
  // Up over 2 of 5 steps: .2, (.2 + 1) / 2, 1; down over 3: cos 60, cos 120.
  ExpectRates(Rates(options, 1, 5), {0.2, 0.6, 1, 0.75, 0.25});
}

TEST(LearningRateTest, WarmUpComesBeforeAnySchedule) {
  // Two of five steps: 1/3 and 2/3 of the rate, then the schedule over three.
  for (const auto& [kind, wanted] :
       {std::pair<Schedule, std::vector<double>>{Schedule::kConstant,
                                                 {.2, .4, .6, .6, .6}},
        {Schedule::kCosine, {.2, .4, .6, .45, .15}},
        {Schedule::kLinear, {.2, .4, .6, .4, .2}},
        {Schedule::kStep, {.2, .4, .6, .6, .6}}}) {
    ExpectRates(Rates({.kind = kind, .warmup_epochs = 0.5}, 0.6, 5), wanted);
  }
  // One-cycle is warmed up to where it starts.
  const ScheduleOptions cycle = {.kind = Schedule::kOneCycle,
                                 .warmup_epochs = 0.5,
                                 .start = 0.3,
                                 .peak_at = 0.5};
  ExpectRates(Rates(cycle, 1, 4), {0.1, 0.2, 0.3, 1});
}

TEST(LearningRateTest, AWarmUpLongerThanTheRunStillRises) {
  ExpectRates(Rates({.kind = Schedule::kConstant, .warmup_epochs = 9}, 0.3, 2),
              {0.1, 0.2});
}

}  // namespace
}  // namespace condense::training
