#include "workers/engine/training/grad_scaler.h"

#include <limits>

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/training/trainer.h"
#include "workers/engine/training/training_test_model.h"

namespace condense::training {
namespace {

std::vector<runtime::Parameter> OneParameter(float gradient) {
  runtime::Parameter parameter;
  parameter.name = "w";
  parameter.tensor = torch::ones({2}).requires_grad_();
  parameter.tensor.mutable_grad() = torch::full({2}, gradient);
  return {parameter};
}

TEST(GradScalerTest, GradientsOfTheScaledLossComeBackUnscaled) {
  GradScaler scaler({.scale = 1024});
  auto parameters = OneParameter(0);
  torch::Tensor& w = parameters[0].tensor;
  w.mutable_grad() = torch::Tensor();
  scaler.Scale((w * 3).sum()).backward();
  EXPECT_EQ(w.grad()[0].item<float>(), 3 * 1024);
  EXPECT_TRUE(scaler.Unscale(parameters));
  EXPECT_EQ(w.grad()[0].item<float>(), 3);
}

TEST(GradScalerTest, TheScaleHalvesAtAnOverflowAndDoublesAfterGoodSteps) {
  GradScaler scaler({.scale = 8, .growth_interval = 3});
  auto bad = OneParameter(std::numeric_limits<float>::infinity());
  EXPECT_FALSE(scaler.Unscale(bad));
  EXPECT_EQ(scaler.scale(), 4);
  EXPECT_EQ(scaler.skipped(), 1);
  auto good = OneParameter(1);
  for (double scale : {4.0, 4.0, 8.0, 8.0, 8.0, 16.0}) {
    EXPECT_TRUE(scaler.Unscale(good));
    EXPECT_EQ(scaler.scale(), scale);
  }
  auto nan = OneParameter(std::numeric_limits<float>::quiet_NaN());
  EXPECT_FALSE(scaler.Unscale(nan));
  EXPECT_EQ(scaler.scale(), 8);
}

TEST(GradScalerTest, GoesOnFromItsState) {
  GradScaler first({.scale = 8, .growth_interval = 3});
  auto good = OneParameter(1);
  auto bad = OneParameter(std::numeric_limits<float>::infinity());
  first.Unscale(bad);
  first.Unscale(good);
  first.Unscale(good);
  GradScaler second({.scale = 2, .growth_interval = 3});
  ASSERT_TRUE(second.Restore(first.State()).ok());
  EXPECT_EQ(second.skipped(), 1);
  second.Unscale(good);
  EXPECT_EQ(second.scale(), 8);
  EXPECT_EQ(ErrorReason(second.Restore({})), "CHECKPOINT_CORRUPT");
}

// The weights after training with these options.
torch::Tensor Trained(const TrainOptions& options, int64_t* skipped) {
  Bars bars(24);
  auto model = runtime::Executor::Create(BarsNet());
  EXPECT_TRUE(model.ok()) << model.status();
  data::Loader loader(&bars, BarsOptions(true));
  Trainer trainer(model->get(), &loader, CrossEntropyLoss, options);
  EXPECT_TRUE(trainer.Run([](const StepInfo&) { return Next::kGoOn; }).ok());
  *skipped = trainer.skipped_steps();
  return (*model)->parameters()[0].tensor.detach().clone();
}

TEST(GradScalerTest, TrainingWithAScaledLossTakesTheSameSteps) {
  int64_t skipped = 0;
  const torch::Tensor plain = Trained({.epochs = 2}, &skipped);
  const torch::Tensor scaled =
      Trained({.epochs = 2, .loss_scaling = GradScalerOptions{}}, &skipped);
  EXPECT_EQ(skipped, 0);
  EXPECT_TRUE(torch::equal(plain, scaled));
}

TEST(GradScalerTest, TrainingSkipsStepsThatOverflow) {
  int64_t skipped = 0;
  // No float32 holds 2^130, nor 2^129 and 2^128 after it.
  const torch::Tensor weights =
      Trained({.epochs = 4,
               .loss_scaling = GradScalerOptions{.scale = std::ldexp(1, 130)}},
              &skipped);
  EXPECT_GE(skipped, 3);
  EXPECT_LT(skipped, 12);
  EXPECT_TRUE(at::isfinite(weights).all().item<bool>());
}

}  // namespace
}  // namespace condense::training
