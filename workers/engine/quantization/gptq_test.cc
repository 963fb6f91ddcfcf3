#include "workers/engine/quantization/gptq.h"

#include "gtest/gtest.h"

namespace condense::quantization {
namespace {

constexpr Levels kLevels{-7, 7};

// One scale per row, no zero point.
GptqGrid GridOf(const std::vector<float>& scales) {
  const torch::Tensor scale = torch::tensor(scales).unsqueeze(1);
  return {scale, torch::zeros_like(scale), kLevels};
}

TEST(GptqTest, WhatOneColumnLosesItsTwinMakesUpFor) {
  // Both inputs are always equal: .4 + .4 is nearer to 1 than to 0.
  const torch::Tensor hessian =
      torch::tensor({1.0, 1.0, 1.0, 1.0}, torch::kFloat64).view({2, 2});
  const torch::Tensor rounded = RoundGptq(
      torch::tensor({0.4f, 0.4f}).view({1, 2}), hessian, 100, GridOf({1}));
  EXPECT_EQ(rounded.sum().item<float>(), 1);
}

TEST(GptqTest, UnrelatedInputsRoundToTheNearestLevelOfTheirRow) {
  const torch::Tensor weights =
      torch::tensor({0.4f, 0.6f, 9.f, 0.4f, 0.6f, -0.3f}).view({2, 3});
  const torch::Tensor rounded = RoundGptq(
      weights, torch::eye(3, torch::kFloat64), 100, GridOf({1, 0.5f}));
  EXPECT_TRUE(at::equal(
      rounded, torch::tensor({0.f, 1.f, 7.f, 0.5f, 0.5f, -0.5f}).view({2, 3})));
}

TEST(GptqTest, LosesLessOutputThanTheNearestLevels) {
  torch::manual_seed(3);
  const torch::Tensor x = at::relu(torch::randn({500, 20}) + 0.5);
  const torch::Tensor weights = torch::randn({8, 20});
  const std::vector<float> scales(8, 0.4f);
  const torch::Tensor rounded = RoundGptq(
      weights, at::mm(x.t(), x).to(torch::kFloat64) / 500, 500, GridOf(scales));
  const torch::Tensor nearest = (weights / 0.4).round().clamp(-7, 7) * 0.4;
  const auto lost = [&](const torch::Tensor& w) {
    return at::mm(x, (weights - w).t()).square().mean().item<double>();
  };
  EXPECT_LT(lost(rounded), 0.8 * lost(nearest));
  EXPECT_TRUE(at::allclose(rounded / 0.4, (rounded / 0.4).round(), 0, 1e-4));
}

TEST(GptqTest, EachWeightHasItsOwnScaleAndZeroPointWhereBlocksSaySo) {
  const torch::Tensor scale = torch::tensor({1.f, 1.f, 0.5f}).unsqueeze(0);
  const torch::Tensor zero = torch::tensor({3.f, 3.f, 15.f}).unsqueeze(0);
  const torch::Tensor weights = torch::tensor({{-5.f, 1.4f, -1.3f}});
  const torch::Tensor rounded = RoundGptq(
      weights, torch::diag(torch::tensor({1.0, 3.0, 2.0}, torch::kFloat64)),
      100, {scale, zero, {0, 15}});
  // The levels of the first two begin at -3; those of the third end at 0.
  EXPECT_TRUE(at::equal(rounded, torch::tensor({{-3.f, 1.f, -1.5f}})));
}

TEST(GptqTest, InputsThatAreAlwaysZeroAreNoProblem) {
  const torch::Tensor rounded =
      RoundGptq(torch::tensor({0.4f, 0.6f}).view({1, 2}),
                torch::zeros({2, 2}, torch::kFloat64), 5, GridOf({1}));
  EXPECT_TRUE(at::equal(rounded, torch::tensor({0.f, 1.f}).view({1, 2})));
}

}  // namespace
}  // namespace condense::quantization
