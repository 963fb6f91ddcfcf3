#include "workers/engine/runtime/learned_step.h"

#include <cmath>
#include <vector>

#include "gtest/gtest.h"

namespace condense::runtime {
namespace {

torch::Tensor Zero() { return torch::tensor(0, torch::kInt32); }

// Levels of x / s: -1.4 -> -1 (inside), 2.3 -> 2, 9 -> 3 (clipped), -7 -> -4.
TEST(LearnedStepTest, LsqGradientIsAsComputedByHand) {
  const torch::Tensor x =
      torch::tensor({-0.7f, 1.15f, 4.5f, -3.5f}).requires_grad_(true);
  const torch::Tensor s = torch::tensor(0.5f).requires_grad_(true);
  const torch::Tensor y = LearnedFakeQuantize(
      x, s, Zero(), {.qmin = -4, .qmax = 3}, LearnedStep::kLsq);
  EXPECT_TRUE(torch::allclose(y, torch::tensor({-0.5f, 1.0f, 1.5f, -2.0f})));
  y.backward(torch::tensor({1.0f, 10.0f, 100.0f, 1000.0f}));
  // (-1 + 1.4) + 10 (2 - 2.3) + 100 * 3 + 1000 * -4, over sqrt(4 * 3).
  EXPECT_NEAR(s.grad().item<double>(), (0.4 - 3 + 300 - 4000) / std::sqrt(12.0),
              1e-2);
  EXPECT_TRUE(torch::equal(x.grad(), torch::tensor({1.0f, 10.0f, 0.0f, 0.0f})));
}

// The surrogate of LSQ: y(s) = s * clip(x / s + r, qmin, qmax) with the
// rounding error r as it is at s.
TEST(LearnedStepTest, LsqGradientIsThatOfTheSurrogate) {
  torch::manual_seed(3);
  const torch::Tensor x = torch::randn({5, 40}, torch::kFloat64);
  const torch::Tensor s =
      torch::tensor({0.3, 0.11, 0.5, 0.21, 0.07}, torch::kFloat64);
  const auto at = [&](const torch::Tensor& scale) {
    const torch::Tensor held =
        (x / s.view({5, 1})).round() - x / s.view({5, 1});
    const torch::Tensor level = x / scale.view({5, 1}) + held;
    // Who is clipped is decided at s.
    const torch::Tensor at_s = (x / s.view({5, 1})).round();
    return (torch::where((at_s >= -4).logical_and(at_s <= 3), level,
                         at_s.clamp(-4, 3)) *
            scale.view({5, 1}))
        .sum(1);
  };
  const double step = 1e-6;
  const torch::Tensor numeric = (at(s + step) - at(s - step)) / (2 * step);
  const torch::Tensor leaf = s.to(torch::kFloat32).requires_grad_(true);
  LearnedFakeQuantize(x.to(torch::kFloat32), leaf,
                      torch::zeros({5}, torch::kInt32),
                      {.qmin = -4, .qmax = 3, .axis = 0}, LearnedStep::kLsq)
      .sum()
      .backward();
  const double factor = 1 / std::sqrt(40 * 3.0);
  EXPECT_TRUE(torch::allclose(
      leaf.grad(), (numeric * factor).to(torch::kFloat32), 1e-3, 1e-3));
}

TEST(LearnedStepTest, OnlyWhatIsClippedFromAboveMovesPact) {
  // alpha = 3 * .5.
  const torch::Tensor x =
      torch::tensor({-1.0f, 0.4f, 1.4f, 1.9f, 7.0f}).requires_grad_(true);
  const torch::Tensor s = torch::tensor(0.5f).requires_grad_(true);
  const torch::Tensor y = LearnedFakeQuantize(
      x, s, Zero(), {.qmin = 0, .qmax = 3}, LearnedStep::kPact);
  EXPECT_TRUE(
      torch::allclose(y, torch::tensor({0.0f, 0.5f, 1.5f, 1.5f, 1.5f})));
  y.backward(torch::tensor({1.0f, 2.0f, 3.0f, 4.0f, 5.0f}));
  EXPECT_FLOAT_EQ(s.grad().item<float>(), (4 + 5) / 3.0f);
  EXPECT_TRUE(
      torch::equal(x.grad(), torch::tensor({0.0f, 2.0f, 3.0f, 0.0f, 0.0f})));
}

// The surrogate of PACT is clip(x, 0, alpha): differences of its sum.
TEST(LearnedStepTest, PactGradientIsThatOfClipping) {
  torch::manual_seed(4);
  const torch::Tensor x = torch::rand({500}) * 3;
  const double alpha = 2.0, step = 1e-2;
  const auto clipped = [&](double a) {
    return x.to(torch::kFloat64).clamp(0, a).sum().item<double>();
  };
  const double numeric =
      (clipped(alpha + step) - clipped(alpha - step)) / (2 * step);
  const torch::Tensor s =
      torch::tensor(static_cast<float>(alpha / 255)).requires_grad_(true);
  LearnedFakeQuantize(x, s, Zero(), {.qmin = 0, .qmax = 255},
                      LearnedStep::kPact)
      .sum()
      .backward();
  EXPECT_NEAR(s.grad().item<double>() * 255, numeric, 0.03 * numeric);
}

}  // namespace
}  // namespace condense::runtime
