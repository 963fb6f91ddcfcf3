#include "workers/engine/evaluation/gates.h"

#include "common/error.h"
#include "gtest/gtest.h"

namespace condense::evaluation {
namespace {

TEST(GatesTest, OnlyWhatIsAskedForIsChecked) {
  EXPECT_TRUE(CheckGates({}, {})->empty());
  EXPECT_EQ(VerdictOf({}), "PASSED");
}

TEST(GatesTest, ADropOfExactlyTheBoundHolds) {
  // 0.97 - 0.96 is a little more than 0.01 in binary.
  const auto gates =
      *CheckGates({.max_accuracy_drop = 0.01},
                  {.accuracy_before = 0.97, .accuracy_after = 0.96});
  ASSERT_EQ(gates.size(), 1u);
  EXPECT_TRUE(gates[0].passed);
  EXPECT_NEAR(gates[0].value, 0.01, 1e-12);
}

TEST(GatesTest, AGainIsANegativeDrop) {
  const auto gates =
      *CheckGates({.max_accuracy_drop = 0},
                  {.accuracy_before = 0.9, .accuracy_after = 0.95});
  EXPECT_TRUE(gates[0].passed);
  EXPECT_NEAR(gates[0].value, -0.05, 1e-12);
}

TEST(GatesTest, TheFirstGateThatFailsNamesTheVerdict) {
  const Bounds bounds = {
      .max_accuracy_drop = 0.01, .max_size_bytes = 100, .max_latency_ms = 1};
  Figures figures = {.accuracy_before = 0.9,
                     .accuracy_after = 0.9,
                     .size_bytes = 101,
                     .latency_ms = 2,
                     .latency_estimated = true};
  EXPECT_EQ(VerdictOf(*CheckGates(bounds, figures)), "TOO_LARGE");
  figures.size_bytes = 100;
  const auto gates = *CheckGates(bounds, figures);
  EXPECT_EQ(VerdictOf(gates), "TOO_SLOW");
  EXPECT_TRUE(gates[2].estimated);
  EXPECT_FALSE(gates[1].estimated);
  figures.accuracy_after = 0.88;
  EXPECT_EQ(VerdictOf(*CheckGates(bounds, figures)), "BELOW_ACCURACY");
}

TEST(GatesTest, ARiseOfTheEqualErrorRateIsALossOfAccuracy) {
  Figures figures = {.eer_before = 0.06, .eer_after = 0.065};
  const auto held = CheckGates({.max_eer_increase = 0.005}, figures);
  ASSERT_TRUE(held.ok()) << held.status();
  EXPECT_EQ((*held)[0].name, "max_eer_increase");
  EXPECT_NEAR((*held)[0].value, 0.005, 1e-12);
  EXPECT_TRUE((*held)[0].passed);
  figures.eer_after = 0.066;
  EXPECT_EQ(VerdictOf(*CheckGates({.max_eer_increase = 0.005}, figures)),
            "BELOW_ACCURACY");
  figures.eer_after = 0.05;
  EXPECT_TRUE((*CheckGates({.max_eer_increase = 0}, figures))[0].passed);
}

TEST(GatesTest, WhatWasNotMeasuredDoesNotPass) {
  EXPECT_EQ(
      ErrorReason(
          CheckGates({.max_eer_increase = 1}, {.eer_before = 0}).status()),
      "GATE_NOT_MEASURED");
  EXPECT_EQ(ErrorReason(CheckGates({.max_accuracy_drop = 1}, {}).status()),
            "GATE_NOT_MEASURED");
}

}  // namespace
}  // namespace condense::evaluation
