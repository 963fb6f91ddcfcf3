#include "workers/engine/training/optimizer.h"

#include <cmath>

#include "common/error.h"
#include "gtest/gtest.h"

namespace condense::training {
namespace {

using Kind = OptimizerOptions::Kind;
using runtime::Parameter;
using runtime::ParameterKind;

Parameter One(const std::string& name, ParameterKind kind, double value) {
  torch::Tensor tensor = torch::full({1}, value);
  tensor.set_requires_grad(true);
  return {name, graph::kNoValue, kind, tensor};
}

// Where one weight of 1 is after the gradients 1 and 2.
std::vector<double> TwoSteps(OptimizerOptions options, bool fused) {
  options.fused = fused;
  const Parameter w = One("w", ParameterKind::kWeight, 1);
  Optimizer optimizer({w}, options);
  std::vector<double> path;
  for (float grad : {1.f, 2.f}) {
    w.tensor.mutable_grad() = torch::full({1}, grad);
    optimizer.Step(0.1);
    path.push_back(w.tensor.item<double>());
  }
  return path;
}

void ExpectPath(const OptimizerOptions& options, double first, double second) {
  for (bool fused : {true, false}) {
    const std::vector<double> path = TwoSteps(options, fused);
    EXPECT_NEAR(path[0], first, 1e-6) << fused;
    EXPECT_NEAR(path[1], second, 1e-6) << fused;
  }
}

TEST(OptimizerTest, SgdTakesTheHandComputedSteps) {
  // 1 - .1 * 1 = .9; .9 - .1 * 2 = .7.
  ExpectPath({.momentum = 0}, 0.9, 0.7);
  // v = 1: .9; v = .9 + 2 = 2.9: .9 - .29.
  ExpectPath({.momentum = 0.9}, 0.9, 0.61);
  // 1 + .9 * 1 = 1.9: .81; 2 + .9 * 2.9 = 4.61: .81 - .461.
  ExpectPath({.momentum = 0.9, .nesterov = true}, 0.81, 0.349);
  // g = 1 + .5 * 1 = 1.5: .85; g = 2 + .5 * .85 = 2.425, v = 1.35 + 2.425 =
  // 3.775: .85 - .3775.
  ExpectPath({.momentum = 0.9, .weight_decay = 0.5}, 0.85, 0.4725);
}

TEST(OptimizerTest, AdamTakesTheHandComputedSteps) {
  // m = .1, m' = .1 / .1 = 1; v' = .001 / .001 = 1: 1 - .1.
  // m = .09 + .2 = .29, m' = .29 / .19 = 1.5263158; v = .000999 + .004 =
  // .004999, v' = .004999 / .001999 = 2.5007504, its root 1.5813761:
  // .9 - .1 * 1.5263158 / 1.5813761 = .9 - .0965182.
  ExpectPath({.kind = Kind::kAdam}, 0.9, 0.8034818);
}

TEST(OptimizerTest, AdamWTakesTheHandComputedSteps) {
  // Decay by 1 - .1 * .5 = .95, then Adam's steps of .1 and .0965182:
  // .95 - .1 = .85; .8075 - .0965182.
  ExpectPath({.kind = Kind::kAdamW, .weight_decay = 0.5}, 0.85, 0.7109818);
}

TEST(OptimizerTest, TheScaleCountsTheGradientSoManyTimes) {
  for (bool fused : {true, false}) {
    for (Kind kind : {Kind::kSgd, Kind::kAdam, Kind::kAdamW}) {
      const OptimizerOptions options = {
          .kind = kind, .weight_decay = 0.1, .fused = fused};
      const Parameter a = One("w", ParameterKind::kWeight, 1);
      const Parameter b = One("w", ParameterKind::kWeight, 1);
      Optimizer scaled({a}, options), plain({b}, options);
      for (float grad : {1.f, -2.f, 4.f}) {
        a.tensor.mutable_grad() = torch::full({1}, 4 * grad);
        b.tensor.mutable_grad() = torch::full({1}, grad);
        scaled.Step(0.1, 0.25);
        plain.Step(0.1);
      }
      EXPECT_EQ(a.tensor.item<double>(), b.tensor.item<double>());
    }
  }
}

TEST(OptimizerTest, TheNormIsThatOfAllGradientsTogether) {
  std::vector<Parameter> parameters = {One("a", ParameterKind::kWeight, 1),
                                       One("b", ParameterKind::kBias, 1)};
  torch::Tensor large = torch::zeros({50021}).set_requires_grad(true);
  parameters.push_back({"c", graph::kNoValue, ParameterKind::kWeight, large});
  Optimizer optimizer(parameters, {});
  parameters[0].tensor.mutable_grad() = torch::full({1}, 3.f);
  parameters[1].tensor.mutable_grad() = torch::full({1}, 4.f);
  EXPECT_DOUBLE_EQ(optimizer.GradientNorm(), 5);
  // 9 + 16 + 50021 / 4.
  large.mutable_grad() = torch::full({50021}, 0.5f);
  EXPECT_NEAR(optimizer.GradientNorm(), std::sqrt(12530.25), 1e-9);
  EXPECT_EQ(optimizer.FirstBadGradient(), "");
  large.mutable_grad()[50020] = std::nan("");
  EXPECT_TRUE(std::isnan(optimizer.GradientNorm()));
  EXPECT_EQ(optimizer.FirstBadGradient(), "c");
}

// The same gradients for our optimizer and LibTorch's, 20 steps.
void ExpectAsLibTorch(OptimizerOptions options, torch::optim::Optimizer* theirs,
                      torch::Tensor theirs_w) {
  torch::manual_seed(4);
  torch::Tensor ours_w = theirs_w.detach().clone();
  torch::Tensor other_w = ours_w.clone();
  for (torch::Tensor* w : {&ours_w, &other_w}) w->set_requires_grad(true);
  Optimizer ours({{"w", graph::kNoValue, ParameterKind::kWeight, ours_w}},
                 options);
  options.fused = false;
  Optimizer other({{"w", graph::kNoValue, ParameterKind::kWeight, other_w}},
                  options);
  for (int step = 0; step < 20; ++step) {
    const torch::Tensor grad = torch::randn_like(ours_w);
    ours_w.mutable_grad() = grad.clone();
    other_w.mutable_grad() = grad.clone();
    theirs_w.mutable_grad() = grad.clone();
    ours.Step(options.lr);
    other.Step(options.lr);
    theirs->step();
  }
  for (const torch::Tensor& w : {ours_w, other_w}) {
    EXPECT_TRUE(torch::allclose(w, theirs_w, 1e-6, 1e-6))
        << (w - theirs_w).abs().max();
  }
  EXPECT_GT(ours_w.abs().max().item<double>(), 0.01);
}

TEST(OptimizerTest, SgdStepsAsLibTorchDoes) {
  for (bool nesterov : {false, true}) {
    torch::manual_seed(3);
    torch::Tensor w = torch::randn({4, 5}).set_requires_grad(true);
    torch::optim::SGD theirs({w}, torch::optim::SGDOptions(0.05)
                                      .momentum(0.9)
                                      .nesterov(nesterov)
                                      .weight_decay(1e-2));
    ExpectAsLibTorch({.lr = 0.05,
                      .momentum = 0.9,
                      .nesterov = nesterov,
                      .weight_decay = 1e-2},
                     &theirs, w);
  }
}

TEST(OptimizerTest, AdamStepsAsLibTorchDoes) {
  torch::manual_seed(3);
  torch::Tensor w = torch::randn({4, 5}).set_requires_grad(true);
  torch::optim::Adam theirs({w}, torch::optim::AdamOptions(0.01)
                                     .betas({0.8, 0.99})
                                     .eps(1e-6)
                                     .weight_decay(1e-2));
  ExpectAsLibTorch({.kind = Kind::kAdam,
                    .lr = 0.01,
                    .beta1 = 0.8,
                    .beta2 = 0.99,
                    .epsilon = 1e-6,
                    .weight_decay = 1e-2},
                   &theirs, w);
}

TEST(OptimizerTest, AdamWStepsAsLibTorchDoes) {
  torch::manual_seed(3);
  torch::Tensor w = torch::randn({4, 500}).set_requires_grad(true);
  torch::optim::AdamW theirs({w}, torch::optim::AdamWOptions(0.01)
                                      .betas({0.8, 0.99})
                                      .eps(1e-6)
                                      .weight_decay(0.1));
  ExpectAsLibTorch({.kind = Kind::kAdamW,
                    .lr = 0.01,
                    .beta1 = 0.8,
                    .beta2 = 0.99,
                    .epsilon = 1e-6,
                    .weight_decay = 0.1},
                   &theirs, w);
}

TEST(OptimizerTest, AGradientThatLiesOtherwiseInMemoryIsTheSame) {
  for (bool transposed : {false, true}) {
    torch::Tensor w = torch::zeros({2, 3}).set_requires_grad(true);
    Optimizer optimizer({{"w", graph::kNoValue, ParameterKind::kWeight, w}},
                        {.momentum = 0});
    const torch::Tensor grad = torch::arange(6, torch::kFloat32).view({2, 3});
    w.mutable_grad() = transposed ? grad.t().contiguous().t() : grad;
    optimizer.Step(1);
    EXPECT_TRUE(torch::equal(w, -grad));
  }
}

TEST(OptimizerTest, WeightDecayLeavesBiasesAndNormalisation) {
  for (Kind kind : {Kind::kSgd, Kind::kAdam, Kind::kAdamW}) {
    std::vector<Parameter> parameters = {One("w", ParameterKind::kWeight, 1),
                                         One("b", ParameterKind::kBias, 1),
                                         One("n", ParameterKind::kNorm, 1)};
    Optimizer optimizer(parameters, {.kind = kind, .weight_decay = 0.1});
    for (const Parameter& p : parameters) {
      p.tensor.mutable_grad() = torch::zeros({1});
    }
    optimizer.Step(0.1);
    EXPECT_LT(parameters[0].tensor.item<double>(), 1);
    EXPECT_EQ(parameters[1].tensor.item<double>(), 1);
    EXPECT_EQ(parameters[2].tensor.item<double>(), 1);
  }
}

TEST(OptimizerTest, AParameterWithoutGradientStaysWhereItIs) {
  const Parameter w = One("w", ParameterKind::kWeight, 1);
  Optimizer optimizer({w}, {.weight_decay = 0.1});
  w.tensor.mutable_grad() = torch::ones({1});
  optimizer.ZeroGrad();
  optimizer.Step(0.1);
  EXPECT_EQ(w.tensor.item<double>(), 1);
}

TEST(OptimizerTest, RestoredMomentsGoOnExactly) {
  for (Kind kind : {Kind::kSgd, Kind::kAdam, Kind::kAdamW}) {
    const OptimizerOptions options = {.kind = kind};
    const Parameter a = One("w", ParameterKind::kWeight, 1);
    Optimizer whole({a}, options);
    a.tensor.mutable_grad() = torch::ones({1});
    whole.Step(0.1);
    const Parameter b =
        One("w", ParameterKind::kWeight, a.tensor.item<double>());
    Optimizer resumed({b}, options);
    ASSERT_TRUE(resumed.Restore(whole.State()).ok());
    for (const auto& [parameter, optimizer] :
         {std::pair<Parameter, Optimizer*>{a, &whole}, {b, &resumed}}) {
      parameter.tensor.mutable_grad() = torch::full({1}, -3.f);
      optimizer->Step(0.1);
    }
    EXPECT_TRUE(torch::equal(a.tensor, b.tensor));
  }
}

TEST(OptimizerTest, RestoreForgetsWhatTheStateDoesNotHave) {
  const Parameter w = One("w", ParameterKind::kWeight, 1);
  Optimizer optimizer({w}, {.momentum = 0.9});
  const auto start = optimizer.State();
  w.tensor.mutable_grad() = torch::ones({1});
  optimizer.Step(0.1);
  ASSERT_TRUE(optimizer.Restore(start).ok());
  optimizer.Step(0.1);
  // Twice a first step: .1 each, without momentum from before.
  EXPECT_NEAR(w.tensor.item<double>(), 0.8, 1e-6);
}

TEST(OptimizerTest, AStateOfAnotherModelIsRefused) {
  const Parameter w = One("w", ParameterKind::kWeight, 1);
  Optimizer optimizer({w}, {});
  EXPECT_EQ(ErrorReason(optimizer.Restore({})), "CHECKPOINT_CORRUPT");
  auto state = optimizer.State();
  state["optimizer/first/w"] = torch::zeros({2});
  EXPECT_EQ(ErrorReason(optimizer.Restore(state)), "CHECKPOINT_CORRUPT");
}

}  // namespace
}  // namespace condense::training
