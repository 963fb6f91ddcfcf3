#include "workers/engine/runtime/fake_quantize.h"

#include <cmath>

#include "gtest/gtest.h"

namespace condense::runtime {
namespace {

std::vector<float> Values(const torch::Tensor& tensor) {
  const torch::Tensor flat = tensor.detach().contiguous();
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

torch::Tensor Scalar(float scale) { return torch::tensor(scale); }
torch::Tensor Zero(int zero) { return torch::tensor(zero, torch::kInt32); }

TEST(FakeQuantizeTest, RoundsHalfToEvenAndClips) {
  const torch::Tensor x =
      torch::tensor({0.25f, 0.75f, 1.25f, -0.25f, -9.0f, 200.0f});
  // Levels 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, -0.5 -> 0; -18 + 3 -> 0; 400 -> 255.
  EXPECT_EQ(Values(FakeQuantize(x, Scalar(0.5f), Zero(3), -1, 0, 255)),
            (std::vector<float>{0, 1, 1, 0, -1.5f, 126}));
}

TEST(FakeQuantizeTest, EachChannelHasItsScale) {
  const torch::Tensor x = torch::tensor({{1.0f, 10.0f}, {1.0f, 10.0f}});
  const torch::Tensor scale = torch::tensor({0.4f, 4.0f});
  const torch::Tensor zero = torch::zeros({2}, torch::kInt32);
  // 2.5 -> 2 (0.8), 25 (10); 0.25 -> 0, 2.5 -> 2 (8).
  EXPECT_EQ(Values(FakeQuantize(x, scale, zero, 0, -127, 127)),
            (std::vector<float>{0.8f, 10, 0, 8}));
}

// The same by the letter of ONNX's QuantizeLinear and DequantizeLinear, one
// element at a time.
TEST(FakeQuantizeTest, IsBitEqualToTheOnnxOperators) {
  torch::manual_seed(3);
  const torch::Tensor x = torch::randn({1000}) * 3;
  const float scale = 0.0123f;
  const int zero = 117;
  const std::vector<float> y =
      Values(FakeQuantize(x, Scalar(scale), Zero(zero), -1, 0, 255));
  const std::vector<float> in = Values(x);
  for (size_t i = 0; i < in.size(); ++i) {
    const float level =
        std::min(255.0f, std::max(0.0f, std::nearbyint(in[i] / scale) + zero));
    EXPECT_EQ(y[i], (level - static_cast<float>(zero)) * scale) << in[i];
  }
}

// The straight-through gradient is that of clip(x): compared with differences
// of the clipped identity over a step much wider than the grid.
TEST(FakeQuantizeTest, TheGradientIsThatOfClippingAlone) {
  const float low = -1.0f, high = 1.55f;  // (0 - 100) and (255 - 100) * 0.01
  for (const float at : {-2.0f, -0.5f, 0.0f, 0.7f, 1.4f, 3.0f}) {
    torch::Tensor x = torch::tensor({at}, torch::requires_grad());
    FakeQuantize(x, Scalar(0.01f), Zero(100), -1, 0, 255).sum().backward();
    const double step = 0.1;
    const auto clip = [&](double v) {
      return std::clamp<double>(v, low, high);
    };
    const double numeric = (clip(at + step) - clip(at - step)) / (2 * step);
    EXPECT_NEAR(x.grad().item<double>(), numeric, 1e-6) << at;
  }
}

TEST(FakeQuantizeTest, NoGradientReachesTheGrid) {
  torch::Tensor scale = torch::tensor(0.1f, torch::requires_grad());
  torch::Tensor x = torch::ones({3}, torch::requires_grad());
  FakeQuantize(x, scale, Zero(0), -1, -128, 127).sum().backward();
  EXPECT_FALSE(scale.grad().defined());
}

}  // namespace
}  // namespace condense::runtime
