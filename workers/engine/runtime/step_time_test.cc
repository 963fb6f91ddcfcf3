#include "workers/engine/runtime/step_time.h"

#include <cmath>

#include "common/error.h"
#include "gtest/gtest.h"
#include "tests/testing/networks.h"

namespace condense::runtime {
namespace {

TEST(StepTimeTest, AnotherOptionMustBeClearlyFaster) {
  const double never = std::numeric_limits<double>::infinity();
  EXPECT_EQ(FastestOption({1.0}), 0u);
  EXPECT_EQ(FastestOption({1.0, 0.97, never}), 0u);
  EXPECT_EQ(FastestOption({1.0, 0.9, 0.5, 0.8}), 2u);
  EXPECT_EQ(FastestOption({1.0, never, 1.2}), 0u);
}

TEST(StepTimeTest, WhatCannotRunIsNeverChosen) {
  const graph::Graph graph = testing::ResNet20();
  const std::vector<torch::Tensor> x = {torch::randn({1, 3, 32, 32})};
  // LibTorch's CPU has no float16 convolutions.
  const auto seconds =
      MeasureSteps(graph, {{}, {.precision = Precision::kFloat16}}, x, 1);
  ASSERT_TRUE(seconds.ok()) << seconds.status();
  EXPECT_GT((*seconds)[0], 0);
  EXPECT_TRUE(std::isinf((*seconds)[1]));
}

TEST(StepTimeTest, AnErrorOfTheFirstOptionIsAnError) {
  const auto seconds = MeasureSteps(testing::ResNet20(), {{}},
                                    {torch::randn({1, 5, 32, 32})}, 1);
  EXPECT_EQ(ErrorReason(seconds.status()), "RUNTIME_ERROR");
}

}  // namespace
}  // namespace condense::runtime
