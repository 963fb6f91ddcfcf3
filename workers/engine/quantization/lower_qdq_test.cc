#include "workers/engine/quantization/lower_qdq.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/verify.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/quantization/quantizer.h"
#include "workers/engine/quantization/weight_quantizer.h"
#include "workers/engine/training/trainer.h"

namespace condense::quantization {
namespace {

using graph::DType;
using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;
using ::testing::ElementsAre;
using ::testing::IsSubsetOf;

// Placed, calibrated and snapped.
Graph Simulated(const Graph& plain,
                const Numerics& numerics = RuntimeNumerics()) {
  auto placement = PlaceQuantizers(plain, numerics);
  EXPECT_TRUE(placement.ok()) << placement.status();
  training::Bars data(24);
  data::Loader loader(&data, training::BarsOptions(false));
  EXPECT_TRUE(Calibrate(&placement->graph, &loader, {}, nullptr).ok());
  SnapBiases(&placement->graph);
  return std::move(placement->graph);
}

LoweredGraph Lower(const Graph& g) {
  auto lowered = LowerToQdq(g);
  EXPECT_TRUE(lowered.ok()) << lowered.status();
  EXPECT_TRUE(graph::Verify(lowered->graph).ok())
      << graph::Verify(lowered->graph);
  return *std::move(lowered);
}

torch::Tensor Output(const Graph& g, const torch::Tensor& x) {
  auto executor = runtime::Executor::Create(g);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  auto outputs = (*executor)->Run({x});
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs->at(0);
}

// The DequantizeLinear in front of an input.
const Node& DequantizerInto(const Graph& g, const std::string& name,
                            size_t input) {
  const Node& node =
      g.node(g.value(g.node(g.FindNode(name)).inputs[input]).producer);
  EXPECT_TRUE(node.Is("DequantizeLinear")) << node.op;
  return node;
}

TEST(LowerToQdqTest, WeightsAreInt8ConstantsBehindADequantizer) {
  const Graph simulated = Simulated(training::BarsNet(false));
  const Graph g = Lower(simulated).graph;
  for (const char* layer : {"conv", "head"}) {
    const Node& dequantize = DequantizerInto(g, layer, 1);
    const Tensor& integers = *g.ConstantOf(dequantize.inputs[0]);
    const std::vector<float> scales = Floats(g, dequantize.inputs[1]);
    const Tensor& weight =
        *simulated.ConstantOf(simulated.FindValue(std::string(layer) + ".w"));
    EXPECT_EQ(integers.dtype(), DType::kInt8);
    EXPECT_EQ(integers.dims(), weight.dims());
    EXPECT_EQ(dequantize.Int("axis", -1), 0);
    const std::vector<float> values = weight.ToFloats();
    const size_t per_channel = values.size() / scales.size();
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(
          integers.ToInts()[i],
          QuantizeValue(values[i], {scales[i / per_channel], 0}, {-127, 127}));
    }
    EXPECT_EQ(g.ConstantOf(dequantize.inputs[2])->dtype(), DType::kInt8);
  }
}

TEST(LowerToQdqTest, BiasesAreInt32AtTheScaleOfInputTimesWeight) {
  const Graph simulated = Simulated(training::BarsNet(false));
  const Graph g = Lower(simulated).graph;
  for (const char* layer : {"conv", "head"}) {
    const Node& dequantize = DequantizerInto(g, layer, 2);
    EXPECT_EQ(g.ConstantOf(dequantize.inputs[0])->dtype(), DType::kInt32);
    EXPECT_EQ(dequantize.inputs.size(), 2u);
    const float s_x = Floats(g, DequantizerInto(g, layer, 0).inputs[1])[0];
    const std::vector<float> s_w =
        Floats(g, DequantizerInto(g, layer, 1).inputs[1]);
    const std::vector<float> scales = Floats(g, dequantize.inputs[1]);
    const std::vector<int64_t> levels =
        g.ConstantOf(dequantize.inputs[0])->ToInts();
    const std::vector<float> bias =
        Floats(simulated, simulated.FindValue(std::string(layer) + ".b"));
    ASSERT_EQ(scales.size(), s_w.size());
    for (size_t i = 0; i < scales.size(); ++i) {
      EXPECT_EQ(scales[i], s_x * s_w[i]);
      EXPECT_EQ(static_cast<float>(levels[i]) * scales[i], bias[i]);
    }
  }
}

TEST(LowerToQdqTest, NoFloatCopyAndNoSimulationIsLeft) {
  const Graph g = Lower(Simulated(training::BarsNet(false))).graph;
  for (NodeId id : g.order()) {
    EXPECT_FALSE(g.node(id).IsFakeQuantize());
    EXPECT_EQ(g.node(id).domain, "");
  }
  for (ValueId id : g.values()) {
    const Tensor* constant = g.ConstantOf(id);
    if (constant == nullptr || constant->dtype() != DType::kFloat32) continue;
    // Scales: one, or one per channel of the convolution or the head.
    EXPECT_LE(constant->num_elements(), 4) << g.value(id).name;
    EXPECT_NE(g.value(id).name.find("scale"), std::string::npos);
  }
}

TEST(LowerToQdqTest, LevelsFromATableAreStoredAsCodesOf4Bits) {
  Graph plain;
  ValueId x = Conv(&plain, "first", Image(&plain, 1), 1, 32);
  x = Conv(&plain, "c", x, 32, 32);
  x = Op(&plain, "Flatten", "flat",
         {Op(&plain, "GlobalAveragePool", "gap", {x})});
  plain.AddOutput(
      Op(&plain, "MatMul", "fc",
         {x, plain.AddConstant("fc.w", training::Filled({32, 256}, 5))}));
  ASSERT_TRUE(graph::InferShapes(plain).ok());
  for (const char* scheme : {"lq", "log2"}) {
    for (bool per_channel : {true, false}) {
      Numerics numerics = RuntimeNumerics();
      numerics.weight_scheme = scheme;
      numerics.weight_bits = 4;
      numerics.per_channel = per_channel;
      numerics.packed = true;
      Graph simulated = Simulated(plain, numerics);
      ProjectWeights(&simulated);
      SnapBiases(&simulated);
      const Graph g = Lower(simulated).graph;
      torch::manual_seed(3);
      const torch::Tensor image = torch::randn({4, 1, 6, 6}) * 1.5;
      EXPECT_TRUE(torch::equal(Output(simulated, image), Output(g, image)))
          << scheme << per_channel;
      const Tensor* codes = g.ConstantOf(g.FindValue("c.w_quantized_codes"));
      ASSERT_NE(codes, nullptr) << scheme << per_channel;
      EXPECT_EQ(codes->bytes().size(), 32u * 32 * 9 / 2);
      EXPECT_EQ(g.FindValue("c.w_quantized"), graph::kNoValue);
      // A table per channel would cost what codes win.
      const bool coded = g.FindValue("fc.w_quantized_codes") != graph::kNoValue;
      EXPECT_EQ(coded, !per_channel);
      EXPECT_NE(g.FindValue("first.w_quantized"), graph::kNoValue);
    }
  }
}

TEST(LowerToQdqTest, ComputesWhatTheSimulationComputesBitByBit) {
  torch::manual_seed(3);
  const torch::Tensor x = torch::randn({16, 1, 6, 6}) * 1.5;
  for (int bits : {8, 7, 4}) {
    for (bool per_channel : {true, false}) {
      for (bool is_unsigned : {true, false}) {
        Numerics numerics = RuntimeNumerics();
        numerics.weight_bits = bits;
        numerics.per_channel = per_channel;
        numerics.activation_unsigned = is_unsigned;
        const Graph simulated = Simulated(training::BarsNet(false), numerics);
        const Graph g = Lower(simulated).graph;
        EXPECT_TRUE(torch::equal(Output(simulated, x), Output(g, x)))
            << bits << per_channel << is_unsigned;
      }
    }
  }
  // And it is near the float model on what the ranges were taken from.
  training::Bars data(24);
  data::Loader loader(&data, training::BarsOptions(false));
  const auto batch = loader.Next();
  ASSERT_TRUE(batch.ok() && batch->has_value());
  const torch::Tensor seen = training::ToTensors(**batch, torch::kCPU).x;
  const torch::Tensor exact = Output(training::BarsNet(false), seen);
  const torch::Tensor close =
      Output(Lower(Simulated(training::BarsNet(false))).graph, seen);
  EXPECT_LT((exact - close).pow(2).mean().item<double>(),
            1e-2 * exact.pow(2).mean().item<double>());
}

TEST(LowerToQdqTest, NarrowWeightsUseOnlyTheirLevels) {
  Numerics numerics = RuntimeNumerics();
  numerics.weight_bits = 7;
  const Graph g = Lower(Simulated(training::BarsNet(false), numerics)).graph;
  int64_t most = 0;
  for (int64_t level :
       g.ConstantOf(DequantizerInto(g, "conv", 1).inputs[0])->ToInts()) {
    most = std::max(most, std::abs(level));
  }
  EXPECT_EQ(most, 63);
}

TEST(LowerToQdqTest, TensorsListEveryQuantizedTensor) {
  const LoweredGraph lowered = Lower(Simulated(training::BarsNet(false)));
  std::map<std::string, TensorRow> rows;
  for (const TensorRow& row : lowered.tensors) {
    EXPECT_TRUE(rows.emplace(row.name, row).second) << row.name;
  }
  // Two weights, two biases; x, relu, pool, flatten and y.
  EXPECT_EQ(rows.size(), 9u);
  EXPECT_EQ(rows["conv.w"].dtype, "int8");
  EXPECT_THAT(rows["conv.w"].shape, ElementsAre(4, 1, 3, 3));
  EXPECT_EQ(rows["conv.w"].scale.size(), 4u);
  EXPECT_EQ(rows["conv.w"].axis, 0);
  EXPECT_THAT(rows["conv.w"].zero_point, ElementsAre(0));
  EXPECT_EQ(rows["head.b"].dtype, "int32");
  EXPECT_EQ(rows["head.b"].axis, 0);
  EXPECT_EQ(rows["x"].dtype, "uint8");
  EXPECT_THAT(rows["x"].shape, ElementsAre(-1, 1, 6, 6));
  EXPECT_EQ(rows["x"].axis, -1);
  EXPECT_EQ(rows["relu.y"].scale, rows["pool.y"].scale);
  EXPECT_EQ(rows["relu.y"].zero_point, rows["flatten.y"].zero_point);
}

TEST(LowerToQdqTest, TheOutputKeepsItsName) {
  const Graph g = Lower(Simulated(training::BarsNet(false))).graph;
  EXPECT_EQ(g.value(g.outputs()[0]).name, "y");
  EXPECT_EQ(graph::ShapeText(g.value(g.outputs()[0]).shape), "[N, 3]");
}

TEST(LowerToQdqTest, ALayerInFloatKeepsItsFloats) {
  Numerics numerics = RuntimeNumerics();
  numerics.skip = {"head"};
  const Graph simulated = Simulated(training::BarsNet(false), numerics);
  const Graph g = Lower(simulated).graph;
  const Node& head = g.node(g.FindNode("head"));
  EXPECT_EQ(*g.ConstantOf(head.inputs[1]),
            *simulated.ConstantOf(simulated.FindValue("head.w")));
  EXPECT_EQ(g.ConstantOf(head.inputs[2])->dtype(), DType::kFloat32);
  const torch::Tensor x = torch::randn({4, 1, 6, 6});
  EXPECT_TRUE(torch::equal(Output(simulated, x), Output(g, x)));
}

TEST(LowerToQdqTest, AMatrixBiasIsLoweredAndABroadcastOneStaysInFloat) {
  for (const std::vector<int64_t>& dims :
       {std::vector<int64_t>{1, 3}, {1}, {}, {1, 1}}) {
    Graph plain = training::BarsNet(false);
    plain.SetConstant(plain.FindValue("head.b"), training::Filled(dims, 3));
    const Graph simulated = Simulated(plain);
    const Graph g = Lower(simulated).graph;
    const ValueId bias = g.node(g.FindNode("head")).inputs[2];
    const bool lowered = !g.IsConstant(bias);
    EXPECT_EQ(lowered, dims == std::vector<int64_t>({1, 3}));
    if (lowered) {
      EXPECT_EQ(DequantizerInto(g, "head", 2).Int("axis", -1), 1);
    }
    const torch::Tensor x = torch::randn({4, 1, 6, 6});
    EXPECT_TRUE(torch::equal(Output(simulated, x), Output(g, x)));
  }
}

}  // namespace
}  // namespace condense::quantization
