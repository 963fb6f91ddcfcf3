// Models that come quantized: the lifted graph against the file's integers.

#include "workers/engine/graph/passes/lift_quantizers.h"

#include "gtest/gtest.h"
#include "workers/engine/graph/passes/lift_integer_operators.h"
#include "workers/engine/runtime/pass_testing.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using graph::LiftQuantizers;
using graph::Tensor;
using graph::ValueId;

// Constants of the types that integer operators take.
struct IntegerMaker : Maker {
  using Maker::Maker;
  ValueId U8(int64_t value) {
    return graph.AddConstant(
        "z", Tensor::Scalar<uint8_t>(static_cast<uint8_t>(value)));
  }
  ValueId I8(std::vector<int64_t> dims, int seed) {
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    std::vector<int8_t> levels;
    for (int64_t i = 0; i < count; ++i) {
      levels.push_back(static_cast<int8_t>((i * 37 + seed) % 255 - 127));
    }
    return graph.AddConstant("w", Tensor::Of<int8_t>(dims, levels));
  }
  ValueId I32(const std::vector<int32_t>& values) {
    return graph.AddConstant(
        "b",
        Tensor::Of<int32_t>({static_cast<int64_t>(values.size())}, values));
  }
  ValueId Zeros(int64_t count) {
    return graph.AddConstant(
        "wz", Tensor::Of<int8_t>({count}, std::vector<int8_t>(count, 0)));
  }
};

// The largest difference in units of `step`.
double Levels(const Graph& before, const Graph& after, const torch::Tensor& x,
              double step) {
  const torch::Tensor a = Forward(before, x), b = Forward(after, x);
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>() / step;
}

Graph Lifted(const Graph& before) {
  Graph after = before;
  EXPECT_TRUE(*LiftQuantizers().Run(after));
  EXPECT_TRUE(graph::InferShapes(after).ok());
  const std::string text = graph::ToText(after);
  EXPECT_FALSE(*LiftQuantizers().Run(after));
  EXPECT_EQ(graph::ToText(after), text);
  return after;
}

TEST(LiftQuantizersTest, QLinearOperatorsWithPoolingOnIntegersBetween) {
  IntegerMaker m({2, 3, 8, 8});
  const ValueId xs = m.Number(0.02f), xz = m.U8(128), ys = m.Number(0.05f);
  ValueId y = m.Op("QuantizeLinear", {m.x, xs, xz});
  y = m.Op("QLinearConv",
           {y, xs, xz, m.I8({4, 3, 3, 3}, 5),
            m.Floats({4}, {0.01f, 0.02f, 0.005f, 0.01f}), m.Zeros(4), ys,
            m.U8(100), m.I32({100, -50, 7, 0})},
           {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  y = m.Op("MaxPool", {y}, {{"kernel_shape", std::vector<int64_t>{8, 8}}});
  y = m.Op("Reshape", {y, m.Ints({2, 4})});
  y = m.Op("QLinearMatMul",
           {y, ys, m.U8(100), m.I8({4, 5}, 9), m.Number(0.01f),
            m.graph.AddConstant("mz", Tensor::Scalar<int8_t>(0)),
            m.Number(0.1f), m.U8(128)});
  const Graph before =
      m.Done(m.Op("DequantizeLinear", {y, m.Number(0.1f), m.U8(128)}));
  const Graph after = Lifted(before);
  EXPECT_EQ(Ops(after),
            "FakeQuantize FakeQuantize Conv FakeQuantize MaxPool FakeQuantize "
            "Reshape FakeQuantize FakeQuantize MatMul FakeQuantize ");
  torch::manual_seed(2);
  EXPECT_LE(Levels(before, after, torch::randn({2, 3, 8, 8}), 0.1), 1.001);
}

TEST(LiftQuantizersTest, DynamicQuantizationBecomesFloatOverAStoredWeight) {
  IntegerMaker m({4, 6});
  const auto dynamic =
      m.graph.AddNode("DynamicQuantizeLinear", "", {m.x}, {"q", "s", "z"});
  ASSERT_TRUE(graph::InferNode(m.graph, dynamic).ok());
  const std::vector<ValueId> q = m.graph.node(dynamic).outputs;
  const ValueId sums = m.Op("MatMulInteger", {q[0], m.I8({6, 3}, 4), q[2]});
  const ValueId scale =
      m.Op("Mul", {q[1], m.Floats({3}, {0.01f, 0.02f, 0.03f})});
  const ValueId cast = m.Op("Cast", {sums}, {{"to", std::string("float32")}});
  const Graph before = m.Done(m.Op("Mul", {cast, scale}));
  const Graph after = Lifted(before);
  EXPECT_EQ(Ops(after), "FakeQuantize MatMul ");
  torch::manual_seed(2);
  const torch::Tensor x = torch::randn({4, 6});
  // Six rounded products of a weight of at most 127 * 0.03 each.
  const double step = (x.max() - x.min()).item<double>() / 255;
  EXPECT_LE(Levels(before, after, x, step * 6 * 127 * 0.03), 0.5);
}

TEST(LiftQuantizersTest, UnsignedWeightsAround128AreSymmetricOthersFloat) {
  for (int64_t zero : {128, 100}) {
    IntegerMaker m({2, 2});
    const ValueId w = m.graph.AddConstant(
        "w",
        Tensor::Of<uint8_t>({2, 2}, std::vector<uint8_t>{1, 128, 255, 200}));
    const Graph before = m.Done(
        m.Op("MatMul",
             {m.x, m.Op("DequantizeLinear", {w, m.Number(0.5f), m.U8(zero)})}));
    const Graph after = Lifted(before);
    EXPECT_EQ(CountOf(after, "FakeQuantize"), zero == 128 ? 1 : 0);
    EXPECT_EQ(Levels(before, after, torch::randn({2, 2}), 1), 0);
  }
}

TEST(LiftQuantizersTest, LevelsOfSevenBitsInInt8StaySevenBits) {
  IntegerMaker m({2, 2});
  const ValueId w = m.graph.AddConstant(
      "w_quantized",
      Tensor::Of<int8_t>({2, 2}, std::vector<int8_t>{63, -63, 5, 0}));
  const Graph after = Lifted(m.Done(
      m.Op("MatMul", {m.x, m.Op("DequantizeLinear", {w, m.Number(0.5f)})})));
  const graph::Node& quantizer = after.node(after.order()[0]);
  EXPECT_EQ(quantizer.Int("qmin", 0), -63);
  EXPECT_EQ(quantizer.Int("qmax", 0), 63);
  EXPECT_EQ(after.value(quantizer.inputs[0]).name, "w");
}

TEST(LiftQuantizersTest, AFloatWeightBehindAPairIsAWeight) {
  Maker m({2, 2});
  const ValueId zero = m.graph.AddConstant("z", Tensor::Scalar<int8_t>(0));
  const ValueId scale = m.Number(0.01f);
  const ValueId w = m.Op(
      "DequantizeLinear",
      {m.Op("QuantizeLinear", {m.Random({2, 2}), scale, zero}), scale, zero});
  const Graph after = Lifted(m.Done(m.Op("MatMul", {m.x, w})));
  EXPECT_EQ(after.node(after.order()[0]).String("role", ""), "weight");
  // It is trained: the weight under its quantizer is a parameter.
  auto executor = Executor::Create(after);
  ASSERT_TRUE(executor.ok());
  ASSERT_EQ((*executor)->parameters().size(), 1u);
  EXPECT_EQ((*executor)->parameters()[0].kind, ParameterKind::kWeight);
}

TEST(LiftQuantizersTest, ReadersOfOneQuantizerShareOneFakeQuantize) {
  IntegerMaker m({2, 4});
  const ValueId s = m.Number(0.1f), z = m.U8(128);
  const ValueId q = m.Op("QuantizeLinear", {m.x, s, z});
  const ValueId a = m.Op("DequantizeLinear", {q, s, z});
  const ValueId b = m.Op("DequantizeLinear", {q, s, z});
  const Graph before = m.Done(m.Op("Add", {a, m.Op("Relu", {b})}));
  const Graph after = Lifted(before);
  EXPECT_EQ(CountOf(after, "FakeQuantize"), 1);
  EXPECT_EQ(Levels(before, after, torch::randn({2, 4}), 1), 0);
}

}  // namespace
}  // namespace condense::runtime
