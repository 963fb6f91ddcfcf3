#include "workers/engine/runtime/fake_quantize.h"

#include "gtest/gtest.h"
#include "workers/engine/quantization/quantizer.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::ValueId;

// QuantizeLinear and DequantizeLinear of ONNX, by the executor. `axis` < 0: per
// tensor.
torch::Tensor QuantizeDequantize(const torch::Tensor& x,
                                 const torch::Tensor& scale,
                                 const torch::Tensor& zero_point,
                                 int64_t axis) {
  Graph g;
  graph::Shape shape;
  for (int64_t dim : x.sizes()) shape.push_back(dim);
  const ValueId in = g.AddInput("x", graph::DType::kFloat32, shape);
  const ValueId s = g.AddConstant("s", runtime::FromTorch(scale));
  const ValueId z = g.AddConstant("z", runtime::FromTorch(zero_point));
  std::map<std::string, graph::Attribute> attrs;
  if (axis >= 0) attrs["axis"] = axis;
  const ValueId q =
      g.node(g.AddNode("QuantizeLinear", "q", {in, s, z}, {"q"}, attrs))
          .outputs[0];
  g.AddOutput(
      g.node(g.AddNode("DequantizeLinear", "d", {q, s, z}, {"d"}, attrs))
          .outputs[0]);
  auto executor = runtime::Executor::Create(g);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  return (*executor)->Run({x})->at(0);
}

TEST(FakeQuantizeTest, EqualsQuantizeAndDequantizeBitByBit) {
  torch::manual_seed(1);
  const torch::Tensor x = torch::randn({5, 3, 7, 7}) * 4;
  for (double scale : {0.013, 0.1, 1.7}) {
    for (int zero : {0, 3, 128, 255}) {
      const torch::Tensor s = torch::tensor(scale, torch::kFloat32);
      const torch::Tensor z = torch::tensor(zero, torch::kInt32);
      const torch::Tensor fake = runtime::FakeQuantize(x, s, z, -1, 0, 255);
      EXPECT_TRUE(torch::equal(
          fake, QuantizeDequantize(x, s, z.to(torch::kUInt8), -1)));
    }
  }
  const torch::Tensor s = torch::tensor({0.01f, 0.3f, 1.f});
  const torch::Tensor z = torch::tensor({-128, 0, 5}, torch::kInt32);
  EXPECT_TRUE(torch::equal(runtime::FakeQuantize(x, s, z, 1, -128, 127),
                           QuantizeDequantize(x, s, z.to(torch::kInt8), 1)));
}

TEST(FakeQuantizeTest, EqualsTheScalarDefinitionAtTiesAndEnds) {
  const Levels levels{0, 255};
  const Grid grid{0.5f, 10};
  std::vector<float> values;
  for (int i = -60; i < 560; ++i) values.push_back(i * 0.25f);
  const torch::Tensor y = runtime::FakeQuantize(
      torch::tensor(values), torch::tensor(grid.scale),
      torch::tensor(grid.zero_point, torch::kInt32), -1, 0, 255);
  for (size_t i = 0; i < values.size(); ++i) {
    const float level =
        static_cast<float>(QuantizeValue(values[i], grid, levels) - 10);
    EXPECT_EQ(y[i].item<float>(), level * 0.5f) << values[i];
  }
}

TEST(FakeQuantizeTest, ANarrowWeightGridClipsAtItsOwnLevels) {
  const torch::Tensor y = runtime::FakeQuantize(
      torch::tensor({-9.f, -7.f, 6.4f, 8.f}), torch::tensor(1.f),
      torch::tensor(0, torch::kInt32), -1, -7, 7);
  EXPECT_TRUE(torch::equal(y, torch::tensor({-7.f, -7.f, 6.f, 7.f})));
}

TEST(FakeQuantizeTest, WorksOnViewsAlongAnyAxis) {
  torch::manual_seed(2);
  const torch::Tensor x = torch::randn({4, 3});
  const torch::Tensor s = torch::tensor({0.1f, 0.2f, 0.3f});
  const torch::Tensor z = torch::zeros({3}, torch::kInt32);
  EXPECT_TRUE(torch::equal(runtime::FakeQuantize(x, s, z, 1, -127, 127).t(),
                           runtime::FakeQuantize(x.t(), s, z, 0, -127, 127)));
}

TEST(FakeQuantizeTest, TheGradientIsOneInsideAndZeroWhereItClips) {
  // Levels 10 + x / .5: 0 is reached at -5, 255 at 122.5; what rounds to them
  // is still inside.
  torch::Tensor x = torch::tensor(
      {-6.f, -5.3f, -5.2f, -5.f, 0.1f, 122.5f, 122.7f, 122.8f, 200.f});
  x.set_requires_grad(true);
  torch::Tensor scale = torch::tensor(0.5f).set_requires_grad(true);
  const torch::Tensor y = runtime::FakeQuantize(
      x, scale, torch::tensor(10, torch::kInt32), -1, 0, 255);
  const torch::Tensor upstream =
      torch::tensor({1.f, 2.f, 3.f, 4.f, 5.f, 6.f, 7.f, 8.f, 9.f});
  (y * upstream).sum().backward();
  EXPECT_TRUE(torch::equal(
      x.grad(), torch::tensor({0.f, 0.f, 3.f, 4.f, 5.f, 6.f, 7.f, 0.f, 0.f})));
  EXPECT_FALSE(scale.grad().defined());
}

TEST(FakeQuantizeTest, TheGradientIsTheSlopeOverWholeSteps) {
  // y is a staircase: its slope over 4 steps is the straight-through gradient,
  // except within 4 steps of an end.
  const double s = 0.25;
  std::vector<float> inside, outside;
  for (int i = 5; i < 250; i += 7) inside.push_back(static_cast<float>(i * s));
  for (int i = 260; i < 300; i += 7) {
    outside.push_back(static_cast<float>(i * s));
    outside.push_back(static_cast<float>(-i * s));
  }
  for (const auto& [values, slope] : {std::pair{inside, 1.f}, {outside, 0.f}}) {
    torch::Tensor x = torch::tensor(values);
    auto quantize = [s](const torch::Tensor& v) {
      return runtime::FakeQuantize(v, torch::tensor(s, torch::kFloat32),
                                   torch::tensor(0, torch::kInt32), -1, 0, 255);
    };
    const torch::Tensor numeric =
        (quantize(x + 4 * s) - quantize(x - 4 * s)) / (8 * s);
    EXPECT_TRUE(torch::equal(numeric, torch::full_like(x, slope)));
    x.set_requires_grad(true);
    quantize(x).sum().backward();
    EXPECT_TRUE(torch::equal(x.grad(), numeric));
  }
}

}  // namespace
}  // namespace condense::quantization
