#include "workers/engine/quantization/tune_layers.h"

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/quantization/sensitivity.h"
#include "workers/engine/quantization/stored_levels.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::ValueId;

// BarsNet with 3-bit weights, calibrated.
Graph Simulation(data::Loader* loader, Numerics numerics = RuntimeNumerics()) {
  Graph g = training::BarsNet();
  EXPECT_TRUE(graph::FoldBatchNorm().Run(g).ok());
  numerics.weight_bits = 3;
  Graph placed = std::move(PlaceQuantizers(g, numerics)->graph);
  EXPECT_TRUE(Calibrate(&placed, loader, {}, nullptr).ok());
  return placed;
}

torch::Tensor Output(const Graph& g, const torch::Tensor& x) {
  const torch::NoGradGuard no_grad;
  return runtime::Executor::Create(g).value()->Run({x}).value()[0];
}

double Lost(const Graph& g, const torch::Tensor& x) {
  return (Output(g, x) - Output(WithoutQuantizers(g), x))
      .square()
      .mean()
      .item<double>();
}

class TuneLayersTest : public ::testing::Test {
 protected:
  const training::Bars data_{64};
  data::Loader loader_{&data_, training::BarsOptions(false)};
};

TEST_F(TuneLayersTest, BiasesTakeUpTheMeanThatWeightsLost) {
  Graph g = Simulation(&loader_);
  const torch::Tensor x = TakeSamples(&loader_, 64).value();
  const Graph floats = WithoutQuantizers(g);
  const torch::Tensor exact = Output(floats, x).mean(0);
  const double before =
      (Output(g, x).mean(0) - exact).abs().max().item<double>();
  TuneOptions options;
  options.gptq = false;
  options.samples = 64;
  ASSERT_TRUE(TuneLayers(&g, floats, &loader_, options).ok());
  const double after =
      (Output(g, x).mean(0) - exact).abs().max().item<double>();
  EXPECT_LT(after, 0.25 * before);
}

TEST_F(TuneLayersTest, GptqLosesLessThanTheNearestLevelsAndStaysOnTheGrid) {
  Graph g = Simulation(&loader_);
  const torch::Tensor x = TakeSamples(&loader_, 64).value();
  const Graph floats = WithoutQuantizers(g);
  const torch::Tensor exact = Output(floats, x);
  const double before = (Output(g, x) - exact).square().mean().item<double>();
  TuneOptions options;
  options.samples = 64;
  ASSERT_TRUE(TuneLayers(&g, floats, &loader_, options).ok());
  EXPECT_LT((Output(g, x) - exact).square().mean().item<double>(),
            0.5 * before);
  for (const QuantizedLayer& layer : QuantizedLayers(g)) {
    const graph::Node& quantizer = g.node(layer.weight_quantizer);
    const float scale = Floats(g, quantizer.inputs[1])[0];
    const float first = Floats(g, quantizer.inputs[0])[0] / scale;
    EXPECT_NEAR(first, std::nearbyint(first), 1e-4);
  }
}

TEST_F(TuneLayersTest, SoDoesGptqForBlocksAndZeroPointsWithFloatActivations) {
  for (const auto& [scheme, block] :
       {std::pair{"max_abs", 8}, {"affine", 0}, {"affine", 8}}) {
    Numerics numerics = RuntimeNumerics();
    numerics.float_activations = true;
    numerics.weight_scheme = scheme;
    numerics.block_size = block;
    Graph g = Simulation(&loader_, numerics);
    const torch::Tensor x = TakeSamples(&loader_, 64).value();
    const Graph floats = WithoutQuantizers(g);
    const torch::Tensor exact = Output(floats, x);
    const double before = (Output(g, x) - exact).square().mean().item<double>();
    TuneOptions options;
    options.samples = 64;
    ASSERT_TRUE(TuneLayers(&g, floats, &loader_, options).ok());
    EXPECT_LT((Output(g, x) - exact).square().mean().item<double>(),
              0.5 * before)
        << scheme << block;
    // Its weights are on their grid.
    for (const auto& [layer, quantizer] : WeightQuantizers(g)) {
      const graph::Node& node = g.node(quantizer);
      const auto stored = StoredQuantizerOf(g, node);
      ASSERT_TRUE(stored.ok());
      const auto& weight = *g.ConstantOf(node.inputs[0]);
      EXPECT_GT(SignalToNoiseDb(weight, weight, *stored), 100);
    }
  }
}

// One operator on [N, 64, size, size].
Graph OneRelu(int64_t size) {
  Graph graph;
  const graph::ValueId x = graph.AddInput(
      "x", graph::DType::kFloat32,
      graph::Shape{graph::Dim::Symbol("N"), 64, size, size});
  graph.AddOutput(
      graph.node(graph.AddNode("Relu", "relu", {x}, {"y"})).outputs[0]);
  EXPECT_TRUE(graph::InferShapes(graph).ok());
  return graph;
}

TEST(TuningSamplesTest, TheLargestActivationOfAllOfThemFits) {
  // 1 MiB, 2.25 MiB and 16 MiB for each sample.
  EXPECT_EQ(TuningSamples(OneRelu(64), 64), 32);
  EXPECT_EQ(TuningSamples(OneRelu(64), 5), 5);
  EXPECT_EQ(TuningSamples(OneRelu(96), 64), 14);
  EXPECT_EQ(TuningSamples(OneRelu(256), 64), 8);
  EXPECT_EQ(TuningSamples(OneRelu(256), 5), 5);
}

TEST_F(TuneLayersTest, TheMostSensitiveLayerIsTheOneWithTheCoarsestWeights) {
  Graph g = training::BarsNet();
  ASSERT_TRUE(graph::FoldBatchNorm().Run(g).ok());
  Numerics numerics = RuntimeNumerics();
  numerics.bits["conv"] = 2;
  Graph placed = std::move(PlaceQuantizers(g, numerics)->graph);
  ASSERT_TRUE(Calibrate(&placed, &loader_, {}, nullptr).ok());
  const auto snr =
      LayerSnrDb(placed, TakeSamples(&loader_, 16).value(), "cpu").value();
  ASSERT_EQ(snr.size(), 2u);
  EXPECT_LT(snr.at("conv") + 10, snr.at("head"));
  EXPECT_GT(Lost(placed, TakeSamples(&loader_, 16).value()), 0);
}

}  // namespace
}  // namespace condense::quantization
