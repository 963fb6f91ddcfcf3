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

// Same numbers and same places where the gradient passes as by LibTorch's
// operators.
void ExpectAsOperators(FakeQuantizeInputs inputs,
                       const FakeQuantizeOptions& options) {
  const Quantized expected = FakeQuantizeByOperators(inputs, options);
  inputs.x = inputs.x.detach().clone(at::MemoryFormat::Preserve);
  inputs.x.set_requires_grad(true);
  const torch::Tensor y = FakeQuantize(inputs, options);
  EXPECT_TRUE(torch::equal(y, expected.y));
  EXPECT_EQ(y.strides(), inputs.x.strides());
  const torch::Tensor upstream = torch::randn(y.sizes());
  y.backward(upstream);
  EXPECT_TRUE(torch::equal(inputs.x.grad(), upstream * expected.pass));
}

torch::Tensor Scales(at::IntArrayRef shape) {
  return torch::rand(shape) * 0.02 + 0.005;
}
torch::Tensor Zeros(at::IntArrayRef shape) {
  return torch::randint(0, 200, shape, torch::kInt32);
}

TEST(FakeQuantizeTest, EveryLayoutGivesWhatTheOperatorsGive) {
  torch::manual_seed(7);
  for (const auto format :
       {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const std::vector<int64_t>& shape :
         {std::vector<int64_t>{3, 5, 7, 9}, {2, 33, 1, 1}, {1, 4, 40, 40}}) {
      const torch::Tensor x = torch::randn(shape).contiguous(format);
      ExpectAsOperators({x, Scalar(0.01f), Zero(100)}, {});
      for (int64_t axis = 0; axis < 4; ++axis) {
        const int64_t n = shape[axis];
        ExpectAsOperators({x, Scales({n}), Zeros({n})}, {.axis = axis});
        for (int64_t block : {2, 4}) {
          std::vector<int64_t> blocks = shape;
          blocks[axis] = (n + block - 1) / block;
          ExpectAsOperators({x, Scales(blocks), Zeros(blocks)},
                            {.axis = axis, .block = block});
        }
      }
    }
  }
}

TEST(FakeQuantizeTest, AdditionAndActivationInFrontAreTheSameAsBefore) {
  torch::manual_seed(8);
  const torch::Tensor x = torch::randn({2, 3, 20, 20}).requires_grad_(true);
  const torch::Tensor b = torch::randn({2, 3, 20, 20})
                              .contiguous(at::MemoryFormat::ChannelsLast)
                              .requires_grad_(true);
  const torch::Tensor upstream = torch::randn_like(x);
  for (const Before before : {Before::kRelu, Before::kClip}) {
    FakeQuantize({x, Scalar(0.01f), Zero(0), b},
                 {.before = before, .clip_low = -0.5f, .clip_high = 1.5f})
        .backward(upstream);
    const torch::Tensor fused_x = x.grad().clone(), fused_b = b.grad().clone();
    x.mutable_grad().reset();
    b.mutable_grad().reset();
    const torch::Tensor sum = x + b;
    const torch::Tensor v = before == Before::kRelu
                                ? torch::relu(sum)
                                : torch::clamp(sum, -0.5f, 1.5f);
    FakeQuantize(v, Scalar(0.01f), Zero(0), -1, 0, 255).backward(upstream);
    EXPECT_TRUE(torch::equal(fused_x, x.grad()));
    EXPECT_TRUE(torch::equal(fused_b, b.grad()));
    x.mutable_grad().reset();
    b.mutable_grad().reset();
  }
}

TEST(FakeQuantizeTest, AnAddendIsBroadcast) {
  const torch::Tensor x = torch::randn({4, 6}), b = torch::randn({6});
  EXPECT_TRUE(torch::equal(FakeQuantize({x, Scalar(0.1f), Zero(9), b}, {}),
                           FakeQuantize({x + b, Scalar(0.1f), Zero(9)}, {})));
}

TEST(FakeQuantizeTest, InPlaceIsTheSameFunctionInTheSameMemory) {
  torch::manual_seed(9);
  const torch::Tensor w = torch::randn({1000}).requires_grad_(true);
  const torch::Tensor out =
      FakeQuantize(w * 2, Scalar(0.01f), Zero(0), -1, -127, 127);
  out.sum().backward();
  const torch::Tensor expected = w.grad().clone();
  w.mutable_grad().reset();
  const torch::Tensor x = w * 2;
  const torch::Tensor y =
      FakeQuantize({x, Scalar(0.01f), Zero(0)},
                   {.qmin = -127, .qmax = 127, .in_place = true});
  EXPECT_EQ(x.data_ptr(), y.data_ptr());
  EXPECT_TRUE(torch::equal(y, out));
  y.sum().backward();
  EXPECT_TRUE(torch::equal(w.grad(), expected));
}

// A backward pass that needs the tensor as it was must not get another.
TEST(FakeQuantizeTest, InPlaceOnWhatABackwardPassNeedsIsAnError) {
  const torch::Tensor w = torch::randn({8}).requires_grad_(true);
  const torch::Tensor x = torch::sigmoid(w);
  const torch::Tensor y =
      FakeQuantize({x, Scalar(0.01f), Zero(0)}, {.in_place = true});
  EXPECT_THROW(y.sum().backward(), c10::Error);
}

TEST(FakeQuantizeTest, AGradientThatOthersHoldIsNotWrittenOver) {
  const torch::Tensor x = torch::tensor({-1.0f, 1.0f}, torch::requires_grad());
  const torch::Tensor y = FakeQuantize(x, Scalar(0.01f), Zero(0), -1, 0, 255);
  const torch::Tensor upstream = torch::tensor({5.0f, 6.0f});
  y.backward(upstream);
  EXPECT_EQ(Values(upstream), (std::vector<float>{5, 6}));
  EXPECT_EQ(Values(x.grad()), (std::vector<float>{0, 6}));
}

TEST(FakeQuantizeTest, ObservesWhatEntersTheQuantizer) {
  torch::manual_seed(10);
  torch::Tensor x = torch::randn({100000}) * 3;
  x[5] = NAN;
  const torch::Tensor seen = torch::tensor({-0.5f, 0.25f});
  FakeQuantize({x, Scalar(0.01f), Zero(100), {}, seen}, {});
  const torch::Tensor finite = x.nan_to_num(0);
  EXPECT_EQ(Values(seen), (std::vector<float>{finite.min().item<float>(),
                                              finite.max().item<float>()}));
  // After a Relu nothing below zero is left.
  const torch::Tensor again = torch::tensor({1.0f, 1.0f});
  FakeQuantize({x, Scalar(0.01f), Zero(100), {}, again},
               {.before = Before::kRelu});
  EXPECT_EQ(Values(again), (std::vector<float>{0, finite.max().item<float>()}));
}

TEST(FakeQuantizeTest, MaxAbsGivesEachChannelTheGridThatJustHoldsIt) {
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{2, 3}, {2, 1, 3, 1}}) {
    const torch::Tensor w =
        torch::tensor({0.4f, -1.27f, 0.013f, 0.0f, 0.0f, 0.0f}).view(shape);
    const torch::Tensor leaf = w.clone().requires_grad_(true);
    const torch::Tensor scale = torch::zeros({2});
    const torch::Tensor y =
        FakeQuantizeWeight(leaf, scale, {.qmin = -127, .qmax = 127, .axis = 0},
                           Projection::kMaxAbs);
    // 1.27 / 127 and, for zeros, 1 / 127.
    EXPECT_EQ(Values(scale),
              (std::vector<float>{0.01f, static_cast<float>(1 / 127.0)}));
    EXPECT_TRUE(torch::allclose(
        y.flatten(), torch::tensor({0.4f, -1.27f, 0.01f, 0.0f, 0.0f, 0.0f})));
    const torch::Tensor upstream = torch::randn(shape);
    y.backward(upstream);
    EXPECT_TRUE(torch::equal(leaf.grad(), upstream));
  }
}

TEST(FakeQuantizeTest, MaxAbsAlongTheLastAxisAndPerTensor) {
  torch::manual_seed(11);
  const torch::Tensor w = torch::randn({40, 3});
  for (const int64_t axis : {int64_t{1}, int64_t{-1}}) {
    const torch::Tensor scale = axis < 0 ? torch::zeros({}) : torch::zeros({3});
    const FakeQuantizeOptions options{.qmin = -7, .qmax = 7, .axis = axis};
    const torch::Tensor y =
        FakeQuantizeWeight(w, scale, options, Projection::kMaxAbs);
    const torch::Tensor most = axis < 0 ? w.abs().max() : w.abs().amax({0});
    EXPECT_TRUE(torch::allclose(scale, most / 7));
    EXPECT_TRUE(torch::equal(
        y,
        FakeQuantizeByOperators({w, scale, torch::zeros_like(scale)}, options)
            .y));
  }
}

}  // namespace
}  // namespace condense::runtime
