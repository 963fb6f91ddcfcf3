#include "workers/engine/quantization/synthesize.h"

#include <cmath>
#include <functional>

#include "gtest/gtest.h"
#include "workers/engine/training/training_test_model.h"

namespace condense::quantization {
namespace {

using torch::Tensor;

TEST(StatisticsLossTest, MatchesAHandComputedValue) {
  // Channel 0 is 1, 3, 5, 7: mean 4, variance 5; channel 1 is 2 throughout.
  const Tensor x = torch::tensor({1.0, 3.0, 2.0, 2.0, 5.0, 7.0, 2.0, 2.0})
                       .view({2, 2, 1, 2});
  const Tensor mean = torch::tensor({3.0, 2.5}),
               var = torch::tensor({4.0, 0.0});
  const double first = 1.0 / 5 + std::pow(std::sqrt(6.0 / 5) - 1, 2);
  const double second = 0.25 / 1;
  EXPECT_NEAR(StatisticsLoss(x, mean, var, 1).item<double>(),
              (first + second) / 2, 1e-6);
}

TEST(TotalVariationTest, MatchesAHandComputedValue) {
  const Tensor u = torch::tensor({0.0, 1.0, 0.0, 0.5}).view({1, 1, 2, 2});
  // Between rows 0 and 1/4, between columns 1 and 1/4.
  EXPECT_NEAR(TotalVariation(u).item<double>(), 0.125 + 0.625, 1e-6);
  EXPECT_EQ(TotalVariation(u.slice(2, 0, 1).slice(3, 0, 1)).item<double>(), 0);
}

TEST(OutOfRangeTest, MatchesAHandComputedValue) {
  const Tensor u = torch::tensor({-1.0, 0.0, 0.5, 1.5}).view({1, 1, 2, 2});
  EXPECT_NEAR(OutOfRange(u).item<double>(), (1 + 0.25) / 4, 1e-6);
}

TEST(NaturalSpectrumTest, FallsAsOneByTheFrequency) {
  // Frequencies 0 (as 1/2), 1/2, 1/2 and sqrt(1/2): 2, 2, 2 and sqrt(2), whose
  // squares are 3.5 in the mean.
  const Tensor small = NaturalSpectrum(2, 2);
  ASSERT_EQ(small.sizes(), torch::IntArrayRef({2, 2}));
  EXPECT_NEAR(small[0][0].item<double>(), 2 / std::sqrt(3.5), 1e-6);
  EXPECT_NEAR(small[1][0].item<double>(), 2 / std::sqrt(3.5), 1e-6);
  EXPECT_NEAR(small[0][1].item<double>(), 2 / std::sqrt(3.5), 1e-6);
  EXPECT_NEAR(small[1][1].item<double>(), std::sqrt(2 / 3.5), 1e-6);
  // Twice and four times the lowest of the longer side.
  const Tensor wide = NaturalSpectrum(4, 16);
  ASSERT_EQ(wide.sizes(), torch::IntArrayRef({4, 9}));
  EXPECT_NEAR((wide[0][1] / wide[0][2]).item<double>(), 2, 1e-5);
  EXPECT_NEAR((wide[0][1] / wide[1][0]).item<double>(), 4, 1e-5);
}

TEST(NaturalSpectrumTest, KeepsTheVarianceOfNoise) {
  torch::manual_seed(5);
  for (const int64_t width : {7, 8}) {
    const Tensor waves = torch::fft::rfft2(torch::randn({4000, 6, width})) *
                         NaturalSpectrum(6, width);
    const Tensor noise =
        torch::fft::irfft2(waves, torch::IntArrayRef({6, width}));
    EXPECT_NEAR(noise.square().mean().item<double>(), 1, 0.05);
  }
}

void ExpectNumericalGradient(const std::function<Tensor(const Tensor&)>& loss) {
  torch::manual_seed(3);
  Tensor x = (2 * torch::rand({2, 3, 2, 2}, torch::kFloat64) - 0.5)
                 .requires_grad_(true);
  loss(x).backward();
  const Tensor grad = x.grad().clone().flatten();
  const torch::NoGradGuard no_grad;
  const double h = 1e-6;
  for (int64_t i = 0; i < x.numel(); ++i) {
    Tensor up = x.detach().clone(), down = x.detach().clone();
    up.view(-1)[i] += h;
    down.view(-1)[i] -= h;
    const double numeric =
        (loss(up).item<double>() - loss(down).item<double>()) / (2 * h);
    EXPECT_NEAR(grad[i].item<double>(), numeric, 1e-6);
  }
}

TEST(StatisticsLossTest, GradientMatchesTheNumericalOne) {
  const Tensor mean = torch::tensor({0.1, 0.7, 0.4}, torch::kFloat64);
  const Tensor var = torch::tensor({0.2, 0.05, 0.9}, torch::kFloat64);
  ExpectNumericalGradient(
      [&](const Tensor& x) { return StatisticsLoss(x, mean, var, 1e-3); });
}

TEST(TotalVariationTest, GradientMatchesTheNumericalOne) {
  ExpectNumericalGradient([](const Tensor& x) { return TotalVariation(x); });
}

TEST(OutOfRangeTest, GradientMatchesTheNumericalOne) {
  ExpectNumericalGradient([](const Tensor& x) { return OutOfRange(x); });
}

std::unique_ptr<Synthesizer> Make(const SynthesisOptions& options) {
  auto made = Synthesizer::Create(training::BarsNet(),
                                  training::BarsOptions(true).preprocess,
                                  {1, 6, 6}, options);
  EXPECT_TRUE(made.ok()) << made.status();
  return *std::move(made);
}

Tensor RunToEnd(Synthesizer* images) {
  while (!images->done()) EXPECT_TRUE(images->Step().ok());
  return images->images();
}

TEST(SynthesizerTest, ImagesComeToHaveTheStatisticsOfTheModel) {
  const auto images = Make({.images = 16, .batch_size = 16, .steps = 200});
  const double first = *images->Step();
  double last = first;
  while (!images->done()) last = *images->Step();
  EXPECT_LT(last, 0.3 * first);
  EXPECT_EQ(images->images().sizes(), torch::IntArrayRef({16, 6, 6, 1}));
  EXPECT_EQ(images->images().dtype(), torch::kUInt8);
  // No two are alike.
  const Tensor flat = images->images().flatten(1).to(torch::kFloat32);
  EXPECT_GT((flat[0] - flat[1]).abs().max().item<double>(), 10);
}

TEST(SynthesizerTest, InterruptedAnywhereItEndsInTheSameImages) {
  // Three batches of four, the last image of which is one too many.
  const SynthesisOptions options = {.images = 11, .batch_size = 4, .steps = 5};
  const auto whole = Make(options);
  EXPECT_EQ(whole->total_steps(), 15);
  const Tensor expected = RunToEnd(whole.get()).clone();
  for (int64_t stop = 0; stop <= 15; ++stop) {
    const auto before = Make(options);
    while (before->step() < stop) ASSERT_TRUE(before->Step().ok());
    const auto after = Make(options);
    after->Restore(before->State());
    EXPECT_EQ(after->step(), stop);
    EXPECT_TRUE(torch::equal(RunToEnd(after.get()), expected)) << stop;
  }
  SynthesisOptions other = options;
  other.seed = 18;
  EXPECT_FALSE(torch::equal(RunToEnd(Make(other).get()), expected));
}

TEST(SynthesizerTest, EndedBeforeItsTimeItHasAsManyImages) {
  const SynthesisOptions options = {.images = 11, .batch_size = 4, .steps = 5};
  const auto whole = Make(options);
  const Tensor expected = RunToEnd(whole.get());
  const auto cut = Make(options);
  while (cut->step() < 7) ASSERT_TRUE(cut->Step().ok());
  cut->End();
  EXPECT_TRUE(cut->done());
  const Tensor images = cut->images();
  // A batch that was done, one that was not, and both again.
  EXPECT_TRUE(torch::equal(images.slice(0, 0, 4), expected.slice(0, 0, 4)));
  EXPECT_FALSE(torch::equal(images.slice(0, 4, 8), expected.slice(0, 4, 8)));
  EXPECT_GT(images[7].max().item<int>(), 0);
  EXPECT_TRUE(torch::equal(images.slice(0, 8, 11), images.slice(0, 0, 3)));
}

TEST(SynthesizerTest, NeedsNormalisationThatWasNotFolded) {
  EXPECT_TRUE(HasStatistics(training::BarsNet(/*batch_norm=*/true)));
  EXPECT_FALSE(HasStatistics(training::BarsNet(/*batch_norm=*/false)));
}

}  // namespace
}  // namespace condense::quantization
