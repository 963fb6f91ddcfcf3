#include "workers/engine/distillation/soft_response.h"

#include <cmath>

#include "gtest/gtest.h"

namespace condense::distillation {
namespace {

TEST(SoftResponseTest, MatchesAHandComputedValue) {
  // Two classes, T 2: student logits (0, 2 ln 3) give (1/4, 3/4), the
  // teacher's (0, 0) give (1/2, 1/2).
  const double ln3 = std::log(3.0);
  const torch::Tensor student = torch::tensor({{0.0, 2 * ln3}});
  const torch::Tensor teacher = torch::tensor({{0.0, 0.0}});
  const torch::Tensor labels = torch::tensor({1}, torch::kInt64);
  const double kl = 0.5 * std::log(2.0) + 0.5 * std::log(2.0 / 3);
  const double ce = -std::log(9.0 / 10);
  const double loss = SoftResponseLoss(student, teacher, labels,
                                       {.temperature = 2, .lambda = 0.75})
                          .item<double>();
  EXPECT_NEAR(loss, 0.75 * 4 * kl + 0.25 * ce, 1e-6);
  // The labels' part against (0.1, 0.9) instead of (0, 1): ln 10 is ce + ln 9.
  const double smooth =
      SoftResponseLoss(
          student, teacher, labels,
          {.temperature = 2, .lambda = 0.75, .label_smoothing = 0.2})
          .item<double>();
  EXPECT_NEAR(smooth - loss, 0.25 * 0.1 * std::log(9.0), 1e-6);
}

TEST(SoftResponseTest, GradientMatchesTheNumericalOne) {
  torch::Tensor student =
      torch::tensor({{0.3, -1.0, 0.7}, {1.2, 0.1, -0.4}}, torch::kFloat64);
  const torch::Tensor teacher =
      torch::tensor({{1.0, 0.5, -0.7}, {0.2, 2.0, 0.3}}, torch::kFloat64);
  const torch::Tensor labels = torch::tensor({2, 0}, torch::kInt64);
  student.set_requires_grad(true);
  SoftResponseLoss(student, teacher, labels, {}).backward();
  const torch::Tensor grad = student.grad().clone();
  torch::NoGradGuard no_grad;
  const double h = 1e-6;
  for (int64_t i = 0; i < student.numel(); ++i) {
    torch::Tensor up = student.clone(), down = student.clone();
    up.view(-1)[i] += h;
    down.view(-1)[i] -= h;
    const double numeric =
        (SoftResponseLoss(up, teacher, labels, {}).item<double>() -
         SoftResponseLoss(down, teacher, labels, {}).item<double>()) /
        (2 * h);
    EXPECT_NEAR(grad.view(-1)[i].item<double>(), numeric, 1e-6);
  }
}

}  // namespace
}  // namespace condense::distillation
