#include "workers/engine/quantization/bit_sensitivity.h"

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/placement.h"
#include "workers/engine/quantization/quantization_test_graphs.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Tensor;
using graph::ValueId;
using Kind = BitSensitivityOptions::Kind;

// y = x w for w of [2, 3], weights in [-1, 1].
Graph Linear() {
  Graph g;
  const ValueId x = g.AddInput("x", graph::DType::kFloat32,
                               graph::Shape{graph::Dim::Symbol("N"), 2});
  const ValueId w = g.AddConstant(
      "w", Tensor::Of<float>({2, 3},
                             std::vector<float>{0.9f, -0.3f, 0.4f, -1, 1, -1}));
  g.AddOutput(Op(&g, "MatMul", "head", {x, w}));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

std::vector<WeightLayer> LayersOf(const Graph& g) {
  return WeightLayers(PlaceQuantizers(g, RuntimeNumerics())->graph);
}

WeightGrid OfBits(const WeightLayer& layer, int bits) {
  WeightGrid grid = layer.grid;
  grid.levels = SchemeLevels(grid.scheme, bits);
  return grid;
}

double LossOf(const Graph& g, const std::vector<WeightLayer>& layers, int bits,
              const torch::Tensor& x, const BitSensitivityOptions& options) {
  const auto found =
      MeasureBitSensitivity(g, layers, {{OfBits(layers[0], bits)}}, x, options);
  EXPECT_TRUE(found.ok()) << found.status();
  return (*found)[0][0];
}

TEST(BitSensitivityTest, KlIsThatOfTheSoftmaxWithTheLayerQuantized) {
  const Graph g = Linear();
  const auto layers = LayersOf(g);
  ASSERT_EQ(layers.size(), 1u);
  EXPECT_EQ(layers[0].name, "head");
  EXPECT_EQ(layers[0].elements, 6);
  const torch::Tensor x = torch::tensor({{1.0f, 0.0f}});
  // By channels with 2 bits: scales 1, 1, 1; levels -1, 0, 1. The first row is
  // 0.9 -> 1, -0.3 -> 0, 0.4 -> 0.
  const torch::Tensor y = torch::tensor({0.9, -0.3, 0.4}, torch::kFloat64);
  const torch::Tensor q = torch::tensor({1.0, 0.0, 0.0}, torch::kFloat64);
  const torch::Tensor p = torch::softmax(y, 0);
  const double kl =
      (p * (p.log() - torch::log_softmax(q, 0))).sum().item<double>();
  EXPECT_NEAR(LossOf(g, layers, 2, x, {}), kl, 1e-6);
  EXPECT_LT(LossOf(g, layers, 8, x, {}), 1e-3 * kl);
}

TEST(BitSensitivityTest, TheHessianOfALinearModelIsThatOfTheFormula) {
  const Graph g = Linear();
  BitSensitivityOptions options;
  options.kind = Kind::kHessian;
  options.probes = 400;
  // H = (diag(p) - p p^T) x x^T: tr(H) = |x|^2 sum p (1 - p).
  const torch::Tensor x = torch::tensor({{1.0f, 0.5f}});
  const torch::Tensor y =
      torch::tensor({0.9 - 0.5, -0.3 + 0.5, 0.4 - 0.5}, torch::kFloat64);
  const torch::Tensor p = torch::softmax(y, 0);
  const double trace = 1.25 * (p * (1 - p)).sum().item<double>();
  // Squared error of 2 bits: 0.1, 0.3 and 0.4 in the first row.
  const double expected = 0.5 * trace / 6 * (0.01 + 0.09 + 0.16);
  EXPECT_NEAR(LossOf(g, LayersOf(g), 2, x, options), expected, 0.05 * expected);
}

TEST(BitSensitivityTest, EmbeddingsAreComparedBySquaresThoughTheyAreRows) {
  const Graph g = Linear();
  // 0.9, -0.3, 0.4 and what 2 bits make of it: 1, 0, 0.
  EXPECT_NEAR(LossOf(g, LayersOf(g), 2, torch::tensor({{1.0f, 0.0f}}),
                     {.classes = false}),
              (0.01 + 0.09 + 0.16) / (0.81 + 0.09 + 0.16), 1e-6);
}

TEST(BitSensitivityTest, OutputsThatAreNoLogitsAreComparedBySquares) {
  Graph g;
  const ValueId x = Image(&g, 1);
  g.AddOutput(Conv(&g, "conv", x, 1, 2));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  const auto layers = LayersOf(g);
  const torch::Tensor images = torch::rand({4, 1, 6, 6});
  BitSensitivityOptions hessian;
  hessian.kind = Kind::kHessian;
  double before = 1;
  for (int bits : {2, 4, 8}) {
    const double loss = LossOf(g, layers, bits, images, {});
    EXPECT_GT(loss, 0);
    EXPECT_LT(loss, 0.5 * before);
    before = loss;
    // The loss is quadratic in the weights: only the mean over them differs.
    const double expanded = LossOf(g, layers, bits, images, hessian);
    EXPECT_GT(expanded, 0.05 * loss);
    EXPECT_LT(expanded, 20 * loss);
  }
}

TEST(BitSensitivityTest, TheModelIsLeftAsItWas) {
  Graph g;
  const ValueId x = Image(&g, 1);
  const ValueId first = Conv(&g, "first", x, 1, 2);
  g.AddOutput(Conv(&g, "second", first, 2, 2));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  auto layers = LayersOf(g);
  const torch::Tensor images = torch::rand({4, 1, 6, 6});
  const WeightGrid first_grid = OfBits(layers[0], 2);
  const WeightGrid second_grid = OfBits(layers[1], 2);
  for (Kind kind : {Kind::kKl, Kind::kHessian}) {
    BitSensitivityOptions options;
    options.kind = kind;
    const auto both = MeasureBitSensitivity(
        g, layers, {{first_grid}, {second_grid}}, images, options);
    ASSERT_TRUE(both.ok()) << both.status();
    if (kind == Kind::kHessian) continue;
    // Alone, the second layer loses what it does behind the first.
    const auto alone =
        MeasureBitSensitivity(g, {layers[1]}, {{second_grid}}, images, options);
    EXPECT_EQ((*both)[1][0], (*alone)[0][0]);
  }
}

}  // namespace
}  // namespace condense::quantization
