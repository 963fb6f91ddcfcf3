#include "workers/engine/evaluation/integer_runtime.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense::evaluation {
namespace {

using graph::DType;
using graph::Graph;
using graph::Tensor;
using graph::ValueId;

class QdqGraph {
 public:
  ValueId Input(graph::Shape shape) {
    return graph.AddInput("x", DType::kFloat32, std::move(shape));
  }
  ValueId Add(const std::string& op, std::vector<ValueId> inputs,
              std::map<std::string, graph::Attribute> attrs = {}) {
    return graph
        .node(graph.AddNode(op, op, std::move(inputs), {op + "_y"},
                            std::move(attrs)))
        .outputs[0];
  }
  // QuantizeLinear and DequantizeLinear with a uint8 grid.
  ValueId Qdq(ValueId x, float scale, uint8_t zero) {
    const ValueId s = graph.AddConstant("s", Tensor::Scalar<float>(scale));
    const ValueId z = graph.AddConstant("z", Tensor::Scalar<uint8_t>(zero));
    return Add("DequantizeLinear", {Add("QuantizeLinear", {x, s, z}), s, z});
  }
  ValueId Weight(std::vector<int64_t> dims, const std::vector<int8_t>& levels,
                 const std::vector<float>& scales) {
    const ValueId w = graph.AddConstant("w", Tensor::Of<int8_t>(dims, levels));
    const ValueId s = graph.AddConstant(
        "ws", Tensor::Of<float>({static_cast<int64_t>(scales.size())}, scales));
    return Add("DequantizeLinear", {w, s}, {{"axis", int64_t{0}}});
  }
  ValueId Bias(const std::vector<int32_t>& levels,
               const std::vector<float>& scales) {
    const int64_t n = static_cast<int64_t>(levels.size());
    const ValueId b = graph.AddConstant("b", Tensor::Of<int32_t>({n}, levels));
    const ValueId s = graph.AddConstant("bs", Tensor::Of<float>({n}, scales));
    return Add("DequantizeLinear", {b, s}, {{"axis", int64_t{0}}});
  }
  std::vector<float> Run(std::vector<int64_t> dims, std::vector<float> values,
                         const IntegerRuntime::Tap& tap = nullptr) {
    EXPECT_TRUE(graph::InferShapes(graph).ok());
    auto runtime = IntegerRuntime::Create(&graph);
    EXPECT_TRUE(runtime.ok()) << runtime.status();
    Activation x;
    x.dims = std::move(dims);
    x.values = std::move(values);
    auto y = (*runtime)->Run({x}, tap);
    EXPECT_TRUE(y.ok()) << y.status();
    return (*y)[0].values;
  }
  Graph graph;
};

TEST(IntegerRuntimeTest, QuantizesHalfToEvenAndSaturates) {
  QdqGraph g;
  g.graph.AddOutput(g.Qdq(g.Input({1, 6}), 0.5f, 10));
  // Levels 2.5 -> 2, 3.5 -> 4, -0.5 -> -0, -100 -> 0 (clipped), 1000 -> 255.
  EXPECT_EQ(g.Run({1, 6}, {1.25f, 1.75f, -0.25f, -50, 500, 0}),
            (std::vector<float>{1, 2, 0, -5, 122.5f, 0}));
}

TEST(IntegerRuntimeTest, AGemmAccumulatesIntegersWithZeroPointAndBias) {
  QdqGraph g;
  const ValueId x = g.Qdq(g.Input({1, 2}), 0.5f, 4);
  const ValueId w = g.Weight({2, 2}, {3, -2, 127, 1}, {0.25f, 0.5f});
  const ValueId b = g.Bias({8, -4}, {0.125f, 0.25f});
  g.graph.AddOutput(g.Add("Gemm", {x, w, b}, {{"transB", int64_t{1}}}));
  // x = 1.5, -1: levels 3 and -2 above the zero point.
  // (3*3 + -2*-2 + 8) * 0.125 = 2.625; (3*127 + -2*1 - 4) * 0.25 = 93.75.
  EXPECT_EQ(g.Run({1, 2}, {1.5f, -1}), (std::vector<float>{2.625f, 93.75f}));
}

TEST(IntegerRuntimeTest, PaddingIsZeroNotTheZeroPointsLevel) {
  QdqGraph g;
  const ValueId x = g.Qdq(g.Input({1, 1, 1, 2}), 1, 100);
  const ValueId w = g.Weight({1, 1, 1, 3}, {1, 10, 100}, {1});
  g.graph.AddOutput(
      g.Add("Conv", {x, w}, {{"pads", std::vector<int64_t>{0, 1, 0, 1}}}));
  // [0, 2, 3, 0] with the kernel 1, 10, 100.
  EXPECT_EQ(g.Run({1, 1, 1, 2}, {2, 3}), (std::vector<float>{320, 32}));
}

TEST(IntegerRuntimeTest, DepthwiseAndStridesFollowTheGroups) {
  QdqGraph g;
  const ValueId x = g.Qdq(g.Input({1, 2, 1, 3}), 1, 0);
  const ValueId w = g.Weight({2, 1, 1, 1}, {2, 3}, {1, 0.5f});
  g.graph.AddOutput(
      g.Add("Conv", {x, w},
            {{"group", int64_t{2}}, {"strides", std::vector<int64_t>{1, 2}}}));
  EXPECT_EQ(g.Run({1, 2, 1, 3}, {1, 2, 3, 4, 5, 6}),
            (std::vector<float>{2, 6, 6, 9}));
}

TEST(IntegerRuntimeTest, ATapSeesLevelsAndMayReplaceThem) {
  QdqGraph g;
  const ValueId x = g.Qdq(g.Input({1, 1}), 1, 0);
  const ValueId w = g.Weight({1, 1}, {2}, {1});
  g.graph.AddOutput(g.Add("Gemm", {x, w}, {{"transB", int64_t{1}}}));
  const auto tap = [](const std::string& name, Activation* value) {
    if (name != "QuantizeLinear_y") return;
    EXPECT_EQ(value->levels, std::vector<int32_t>{7});
    value->levels[0] = 9;
  };
  EXPECT_EQ(g.Run({1, 1}, {7}, tap), std::vector<float>{18});
}

TEST(IntegerRuntimeTest, FloatOperatorsRunInFloat) {
  QdqGraph g;
  const ValueId x = g.Input({1, 1, 2, 2});
  const ValueId relu = g.Add("Relu", {x});
  const ValueId sum = g.Add("Add", {relu, x});
  g.graph.AddOutput(g.Add("Flatten", {g.Add("GlobalAveragePool", {sum})}));
  // [2, -1, 6, -3] on average.
  EXPECT_EQ(g.Run({1, 1, 2, 2}, {1, -1, 3, -3}), std::vector<float>{1});
}

TEST(IntegerRuntimeTest, AnOperatorItLacksIsNamedWithItsNode) {
  QdqGraph g;
  g.graph.AddOutput(g.Add("Det", {g.Input({1, 2, 2})}));
  const auto runtime = IntegerRuntime::Create(&g.graph);
  EXPECT_EQ(ErrorReason(runtime.status()), "NO_VERIFIER");
  EXPECT_EQ(ErrorDetailOf(runtime.status()).node, "Det");
}

TEST(IntegerRuntimeTest, AScaledGemmIsRefusedRatherThanMisread) {
  QdqGraph g;
  const ValueId w = g.graph.AddConstant(
      "w", Tensor::Of<float>({1, 1}, std::vector<float>{1}));
  g.graph.AddOutput(g.Add("Gemm", {g.Input({1, 1}), w}, {{"alpha", 2.0f}}));
  EXPECT_EQ(ErrorReason(IntegerRuntime::Create(&g.graph).status()),
            "NO_VERIFIER");
}

// x [1, 2] through a quantizer of 16 bits with scale 1.
ValueId Wide(QdqGraph* g) {
  const ValueId x = g->Input({1, 2});
  const ValueId s = g->graph.AddConstant("s", Tensor::Scalar<float>(1));
  const ValueId z = g->graph.AddConstant("z", Tensor::Scalar<uint16_t>(1000));
  return g->Add("DequantizeLinear",
                {g->Add("QuantizeLinear", {x, s, z}), s, z});
}

TEST(IntegerRuntimeTest, SumsOf16BitIntegersAreExact) {
  QdqGraph g;
  const ValueId x = Wide(&g);
  const ValueId w = g.graph.AddConstant(
      "w", Tensor::Of<int16_t>({1, 2}, std::vector<int16_t>{32767, 32766}));
  const ValueId ws = g.graph.AddConstant("ws", Tensor::Scalar<float>(1));
  g.graph.AddOutput(g.Add("Gemm", {x, g.Add("DequantizeLinear", {w, ws})},
                          {{"transB", int64_t{1}}}));
  // 60000 * 32767 + (65535 - 1000) * 32766 is beyond 32 bits; 70000 saturates.
  EXPECT_EQ(g.Run({1, 2}, {60000, 70000}),
            (std::vector<float>{static_cast<float>(4080573810.0)}));
}

TEST(IntegerRuntimeTest, WeightsHaveZeroPointsPerChannel) {
  QdqGraph g;
  const ValueId x = g.Qdq(g.Input({1, 2}), 0.5f, 4);
  const ValueId w = g.graph.AddConstant(
      "w", Tensor::Of<uint8_t>({2, 2}, std::vector<uint8_t>{5, 9, 0, 15}));
  const ValueId s = g.graph.AddConstant(
      "ws", Tensor::Of<float>({2}, std::vector<float>{0.25f, 0.5f}));
  const ValueId z = g.graph.AddConstant(
      "wz", Tensor::Of<uint8_t>({2}, std::vector<uint8_t>{8, 1}));
  const ValueId weight =
      g.Add("DequantizeLinear", {w, s, z}, {{"axis", int64_t{0}}});
  g.graph.AddOutput(g.Add("Gemm", {x, weight}, {{"transB", int64_t{1}}}));
  // x = 1.5, -1; w = [-3, 1] / 4 and [-1, 14] / 2.
  EXPECT_EQ(g.Run({1, 2}, {1.5f, -1}), (std::vector<float>{-1.375f, -7.75f}));
}

TEST(IntegerRuntimeTest, WeightsInBlocksAreReadThroughTheirReshape) {
  QdqGraph g;
  const ValueId x = g.Input({1, 1, 1, 3});
  const ValueId w = g.graph.AddConstant(
      "w", Tensor::Of<int8_t>({1, 3}, std::vector<int8_t>{1, 2, 3}));
  const ValueId s = g.graph.AddConstant(
      "ws", Tensor::Of<float>({1, 2}, std::vector<float>{10, 100}));
  const ValueId rows =
      g.Add("DequantizeLinear", {w, s},
            {{"axis", int64_t{1}}, {"block_size", int64_t{2}}});
  const ValueId dims = g.graph.AddConstant(
      "dims", Tensor::Of<int64_t>({4}, std::vector<int64_t>{1, 1, 1, 3}));
  g.graph.AddOutput(g.Add("Conv", {x, g.Add("Reshape", {rows, dims})}));
  // 10 and 20, then 300.
  EXPECT_EQ(g.Run({1, 1, 1, 3}, {1, 2, 3}), (std::vector<float>{950}));
}

TEST(IntegerRuntimeTest, PlainOperatorsMakeWeightsOfIntegers) {
  QdqGraph g;
  const ValueId x = g.Input({1, 2});
  const ValueId w = g.graph.AddConstant(
      "w", Tensor::Of<int16_t>({2, 2}, std::vector<int16_t>{300, -2, 5, 7}));
  const ValueId s = g.graph.AddConstant(
      "ws", Tensor::Of<float>({2, 1}, std::vector<float>{0.5f, 2}));
  const ValueId weight =
      g.Add("Mul", {g.Add("Cast", {w}, {{"to", std::string("float32")}}), s});
  g.graph.AddOutput(g.Add("Gemm", {x, weight}, {{"transB", int64_t{1}}}));
  EXPECT_EQ(g.Run({1, 2}, {1, 10}), (std::vector<float>{140, 150}));
}

}  // namespace
}  // namespace condense::evaluation
