#include "workers/engine/export/lower.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense::onnx_export {
namespace {

using graph::Dim;
using graph::DType;
using graph::Graph;
using graph::Node;
using graph::Shape;
using graph::Tensor;
using graph::ValueId;
using Attributes = std::map<std::string, graph::Attribute>;

std::string Text(const char* text) { return text; }

// One node over x [N, 4, 8, 8], and constants behind it.
Graph One(const std::string& op, Attributes attrs,
          const std::vector<Tensor>& constants = {}, int outputs = 1) {
  Graph g;
  std::vector<ValueId> inputs = {
      g.AddInput("x", DType::kFloat32, Shape{Dim::Symbol("N"), 4, 8, 8})};
  for (const Tensor& constant : constants) {
    inputs.push_back(constant.dtype() == DType::kUndefined
                         ? graph::kNoValue
                         : g.AddConstant("c", constant));
  }
  const std::vector<std::string> names(outputs, "y");
  const auto id = g.AddNode(op, "node", inputs, names, std::move(attrs));
  for (ValueId output : g.node(id).outputs) g.AddOutput(output);
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

std::string Ops(const Graph& g) {
  std::string ops;
  for (graph::NodeId id : g.order()) ops += g.node(id).op + " ";
  return ops;
}

Tensor Ints(const std::vector<int64_t>& values) {
  return Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values);
}

TEST(LowerTest, OperatorsAreWrittenWithOlderOnes) {
  struct Case {
    const char* op;
    Attributes attrs;
    int since;
    const char* lowered;
  };
  for (const Case& c : {Case{"HardSwish", {}, 14, "HardSigmoid Mul "},
                        Case{"Mish", {}, 18, "Softplus Tanh Mul "},
                        Case{"Gelu", {}, 20, "Div Erf Add Mul Mul "}}) {
    Graph older = One(c.op, c.attrs), same = older;
    ASSERT_TRUE(LowerToOpset(older, c.since - 1).ok()) << c.op;
    EXPECT_EQ(Ops(older), c.lowered);
    EXPECT_EQ(older.value(older.outputs()[0]).name, "y");
    ASSERT_TRUE(LowerToOpset(same, c.since).ok()) << c.op;
    EXPECT_EQ(Ops(same), std::string(c.op) + " ");
  }
}

TEST(LowerTest, WhatOlderOpsetsLackIsATypedError) {
  struct Case {
    const char* op;
    Attributes attrs;
    std::vector<Tensor> constants;
    int since;
  };
  const Tensor scales = Tensor::Of<float>({4}, std::vector<float>{1, 1, 2, 2});
  const Tensor scale = Tensor::Scalar<float>(0.1f);
  for (const Case& c :
       {Case{"Pad",
             {{"mode", Text("wrap")}},
             {Ints({0, 0, 1, 1, 0, 0, 1, 1})},
             19},
        Case{"Resize", {{"antialias", int64_t{1}}}, {Tensor(), scales}, 18},
        Case{"Resize",
             {{"coordinate_transformation_mode", Text("half_pixel_symmetric")}},
             {Tensor(), scales},
             19},
        Case{"AveragePool",
             {{"kernel_shape", std::vector<int64_t>{2, 2}},
              {"dilations", std::vector<int64_t>{2, 2}}},
             {},
             19},
        Case{"Shape", {{"start", int64_t{1}}}, {}, 15},
        Case{"QuantizeLinear",
             {},
             {scale, Tensor(DType::kInt16, {}, std::string(2, '\0'))},
             21},
        Case{"QuantizeLinear",
             {},
             {scale, Tensor(DType::kInt4, {}, std::string(1, '\0'))},
             21}}) {
    Graph older = One(c.op, c.attrs, c.constants), newer = older;
    const absl::Status status = LowerToOpset(older, c.since - 1);
    EXPECT_EQ(ErrorReason(status), "NEEDS_NEWER_OPSET") << c.op;
    EXPECT_EQ(ErrorDetailOf(status).node, "node");
    EXPECT_TRUE(LowerToOpset(newer, c.since).ok()) << c.op;
  }
}

TEST(LowerTest, AttributesThatSayNothingAreLeftOut) {
  Graph g = One("Reshape", {{"allowzero", int64_t{0}}}, {Ints({0, -1})});
  ASSERT_TRUE(LowerToOpset(g, 13).ok());
  EXPECT_TRUE(g.node(g.order()[0]).attrs.empty());
  g = One("AveragePool", {{"kernel_shape", std::vector<int64_t>{2, 2}},
                          {"dilations", std::vector<int64_t>{1, 1}}});
  ASSERT_TRUE(LowerToOpset(g, 17).ok());
  EXPECT_FALSE(g.node(g.order()[0]).Has("dilations"));
}

TEST(LowerTest, AxesOfReductionsAreInputsFrom18On) {
  const Graph g = One("ReduceMean", {{"axes", std::vector<int64_t>{2, 3}}});
  Graph old = g, recent = g;
  ASSERT_TRUE(LowerToOpset(old, 17).ok());
  EXPECT_TRUE(old.node(old.order()[0]).Has("axes"));
  ASSERT_TRUE(LowerToOpset(recent, 18).ok());
  const Node& node = recent.node(recent.order()[0]);
  EXPECT_FALSE(node.Has("axes"));
  EXPECT_EQ(recent.ConstantOf(node.input(1))->ToInts(),
            (std::vector<int64_t>{2, 3}));
}

TEST(LowerTest, SplitCountsItsOutputsFrom18On) {
  Graph g = One("Split", {{"axis", int64_t{1}}}, {}, 2);
  ASSERT_TRUE(LowerToOpset(g, 18).ok());
  EXPECT_EQ(g.node(g.order()[0]).Int("num_outputs", 0), 2);
}

TEST(LowerTest, CastLikeBecomesCastBefore15) {
  Graph g = One("CastLike", {}, {Ints({1})});
  ASSERT_TRUE(LowerToOpset(g, 13).ok());
  EXPECT_EQ(Ops(g), "Cast ");
  EXPECT_EQ(g.node(g.order()[0]).String("to", ""), "int64");
}

TEST(LowerTest, ANamedTypeBecomesAZeroPointBefore21) {
  const Graph g = One("QuantizeLinear", {{"output_dtype", Text("int8")}},
                      {Tensor::Scalar<float>(0.1f)});
  Graph old = g, recent = g;
  ASSERT_TRUE(LowerToOpset(old, 17).ok());
  const Node& node = old.node(old.order()[0]);
  EXPECT_EQ(old.ConstantOf(node.input(2))->dtype(), DType::kInt8);
  EXPECT_FALSE(node.Has("output_dtype"));
  ASSERT_TRUE(LowerToOpset(recent, 21).ok());
  EXPECT_TRUE(recent.node(recent.order()[0]).Has("output_dtype"));
}

// w: int16 [2, 2] along axis 0, added to x.
Graph StoredIn16Bits(const std::vector<uint16_t>& zeros) {
  Graph g;
  const ValueId x = g.AddInput("x", DType::kFloat32, Shape{2, 2});
  const ValueId w = g.AddConstant(
      "w", Tensor::Of<uint16_t>({2, 2}, std::vector<uint16_t>{1, 2, 3, 4}));
  const ValueId s =
      g.AddConstant("s", Tensor::Of<float>({2}, std::vector<float>{0.5f, 2}));
  const ValueId z = g.AddConstant("z", Tensor::Of<uint16_t>({2}, zeros));
  const auto dequantize = g.AddNode("DequantizeLinear", "dq", {w, s, z}, {"d"},
                                    {{"axis", int64_t{0}}});
  const auto add =
      g.AddNode("Add", "add", {x, g.node(dequantize).outputs[0]}, {"y"});
  g.AddOutput(g.node(add).outputs[0]);
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

TEST(LowerTest, IntegersOf16BitsAreCastWhereNothingDequantizesThem) {
  Graph older = StoredIn16Bits({0, 0}), shifted = StoredIn16Bits({0, 3});
  ASSERT_TRUE(LowerToOpset(older, 17).ok());
  EXPECT_EQ(Ops(older), Text("Cast Mul Add "));
  const Node& mul = older.node(older.FindNode("add"));
  const Node& scaled = older.node(older.value(mul.inputs[1]).producer);
  EXPECT_EQ(older.ConstantOf(scaled.inputs[1])->dims(),
            (std::vector<int64_t>{2, 1}));
  ASSERT_TRUE(LowerToOpset(shifted, 13).ok());
  EXPECT_EQ(Ops(shifted), Text("Cast Sub Mul Add "));
  Graph newer = StoredIn16Bits({0, 3});
  ASSERT_TRUE(LowerToOpset(newer, 21).ok());
  EXPECT_EQ(Ops(newer), Text("DequantizeLinear Add "));
}

}  // namespace
}  // namespace condense::onnx_export
