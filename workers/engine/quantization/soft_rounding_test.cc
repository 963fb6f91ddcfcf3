#include "workers/engine/quantization/soft_rounding.h"

#include "gtest/gtest.h"

namespace condense::quantization {
namespace {

constexpr Levels kLevels{-7, 7};

SoftRounding Rounding() {
  // w / s = {.3, -.2, 2.75, 9}: the last is clipped to 7.
  return SoftRounding(torch::tensor({0.15f, -0.1f, 1.375f, 4.5f}),
                      torch::tensor(0.5f), kLevels);
}

TEST(SoftRoundingTest, BeginsAtTheWeightAndEndsOnTheGrid) {
  const SoftRounding rounding = Rounding();
  EXPECT_TRUE(at::allclose(rounding.Soft().detach(),
                           torch::tensor({0.15f, -0.1f, 1.375f, 3.5f}), 0,
                           1e-6));
  EXPECT_TRUE(
      at::equal(rounding.Hard(), torch::tensor({0.f, 0.f, 1.5f, 3.5f})));
}

TEST(SoftRoundingTest, TheRegularizerIsThatOfThePaper) {
  // beta 2: 1 - (2 h - 1)^2 for h = .3, .8, .75 and 0.
  const double expected = 0.84 + 0.64 + 0.75 + 0;
  EXPECT_NEAR(Rounding().Regularizer(2).item<double>(), expected, 1e-5);
}

TEST(SoftRoundingTest, GradientsAreTheNumericalOnes) {
  const torch::Tensor mix = torch::tensor({1.f, -2.f, 3.f, 0.5f});
  SoftRounding rounding = Rounding();
  const auto loss = [&] {
    return (rounding.Soft() * mix).sum() + 0.1 * rounding.Regularizer(3);
  };
  loss().backward();
  const torch::Tensor gradient = rounding.variable().grad().clone();
  const torch::NoGradGuard no_grad;
  for (int64_t i = 0; i < 3; ++i) {
    constexpr double kStep = 1e-2;
    rounding.variable()[i] += kStep;
    const double above = loss().item<double>();
    rounding.variable()[i] -= 2 * kStep;
    const double below = loss().item<double>();
    rounding.variable()[i] += kStep;
    EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * kStep),
                2e-3);
  }
}

}  // namespace
}  // namespace condense::quantization
