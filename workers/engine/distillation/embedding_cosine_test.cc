#include "workers/engine/distillation/embedding_cosine.h"

#include <cmath>

#include "gtest/gtest.h"

namespace condense::distillation {
namespace {

TEST(EmbeddingCosineTest, MatchesAHandComputedValueWhateverTheLengths) {
  // 90 and 45 degrees, and once the same direction.
  const torch::Tensor student =
      torch::tensor({{3.0, 0.0}, {0.0, 2.0}, {-1.0, 4.0}});
  const torch::Tensor teacher =
      torch::tensor({{0.0, 5.0}, {1.0, 1.0}, {-0.5, 2.0}});
  const double expected = (1 + (1 - std::sqrt(0.5)) + 0) / 3;
  EXPECT_NEAR(EmbeddingCosineLoss(student, teacher).item<double>(), expected,
              1e-6);
  // [n, 2, 1, 1], as networks without a last Flatten give it.
  EXPECT_NEAR(
      EmbeddingCosineLoss(student.view({3, 2, 1, 1}), teacher).item<double>(),
      expected, 1e-6);
}

TEST(EmbeddingCosineTest, AVectorOfZerosIsNoFault) {
  torch::Tensor student = torch::zeros({1, 3}).set_requires_grad(true);
  const torch::Tensor loss =
      EmbeddingCosineLoss(student, torch::tensor({{1.0f, 2.0f, 3.0f}}));
  EXPECT_EQ(loss.item<double>(), 1);
  loss.backward();
  EXPECT_TRUE(torch::isfinite(student.grad()).all().item<bool>());
}

TEST(EmbeddingCosineTest, GradientMatchesTheNumericalOne) {
  torch::Tensor student =
      torch::tensor({{0.3, -1.0, 0.7}, {1.2, 0.1, -0.4}}, torch::kFloat64);
  torch::Tensor teacher =
      torch::tensor({{1.0, 0.5, -0.7}, {0.2, 2.0, 0.3}}, torch::kFloat64);
  student.set_requires_grad(true);
  teacher.set_requires_grad(true);
  EmbeddingCosineLoss(student, teacher).backward();
  EXPECT_FALSE(teacher.grad().defined());
  const torch::Tensor grad = student.grad().clone();
  torch::NoGradGuard no_grad;
  const double h = 1e-6;
  for (int64_t i = 0; i < student.numel(); ++i) {
    torch::Tensor up = student.clone(), down = student.clone();
    up.view(-1)[i] += h;
    down.view(-1)[i] -= h;
    const double numeric = (EmbeddingCosineLoss(up, teacher).item<double>() -
                            EmbeddingCosineLoss(down, teacher).item<double>()) /
                           (2 * h);
    EXPECT_NEAR(grad.view(-1)[i].item<double>(), numeric, 1e-6);
  }
}

}  // namespace
}  // namespace condense::distillation
