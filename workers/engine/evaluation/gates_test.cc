#include "workers/engine/evaluation/gates.h"

#include "gtest/gtest.h"

namespace condense::evaluation {
namespace {

TEST(GatesTest, OnlyWhatIsAskedForIsChecked) {
  EXPECT_TRUE(CheckGates({}, {}).empty());
  EXPECT_EQ(VerdictOf({}), "PASSED");
}

TEST(GatesTest, ADropOfExactlyTheBoundHolds) {
  // 0.97 - 0.96 is a little more than 0.01 in binary.
  const auto gates =
      CheckGates({.max_accuracy_drop = 0.01},
                 {.accuracy_before = 0.97, .accuracy_after = 0.96});
  ASSERT_EQ(gates.size(), 1u);
  EXPECT_TRUE(gates[0].passed);
  EXPECT_NEAR(gates[0].value, 0.01, 1e-12);
}

TEST(GatesTest, AGainIsANegativeDrop) {
  const auto gates =
      CheckGates({.max_accuracy_drop = 0},
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
  EXPECT_EQ(VerdictOf(CheckGates(bounds, figures)), "TOO_LARGE");
  figures.size_bytes = 100;
  const auto gates = CheckGates(bounds, figures);
  EXPECT_EQ(VerdictOf(gates), "TOO_SLOW");
  EXPECT_TRUE(gates[2].estimated);
  EXPECT_FALSE(gates[1].estimated);
  figures.accuracy_after = 0.88;
  EXPECT_EQ(VerdictOf(CheckGates(bounds, figures)), "BELOW_ACCURACY");
}

}  // namespace
}  // namespace condense::evaluation
