#include "workers/engine/graph/infer_shapes.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/graph/window.h"

namespace condense::graph {
namespace {

using Attributes = std::map<std::string, Attribute>;
using Pads = std::vector<int64_t>;

Tensor Zeros(std::vector<int64_t> dims) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  return Tensor::Of<float>(std::move(dims), std::vector<float>(count, 0.0f));
}
Tensor Ints(const Pads& values) {
  return Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values);
}
Shape Image(int64_t c, int64_t h, int64_t w) {
  return {Dim::Symbol("N"), c, h, w};
}

// The first output's shape as text, or the error's reason.
std::string Infer(const std::string& op, std::vector<Shape> inputs,
                  Attributes attrs = {}, std::vector<Tensor> constants = {}) {
  Graph graph;
  std::vector<ValueId> ids;
  for (Shape& shape : inputs) {
    ids.push_back(graph.AddInput("x", DType::kFloat32, std::move(shape)));
  }
  for (Tensor& constant : constants) {
    ids.push_back(graph.AddConstant("c", std::move(constant)));
  }
  const NodeId node = graph.AddNode(op, op, ids, {"y"}, std::move(attrs));
  graph.AddOutput(graph.node(node).outputs[0]);
  const absl::Status status = InferShapes(graph);
  if (!status.ok()) {
    EXPECT_EQ(ErrorDetailOf(status).node, op);
    return ErrorReason(status);
  }
  return ShapeText(graph.value(graph.outputs()[0]).shape);
}

TEST(InferShapesTest, ConvolutionsCarryTheBatchThrough) {
  // (32 + 2 - 3) / 2 + 1 = 16.
  EXPECT_EQ(Infer("Conv", {Image(3, 32, 32)},
                  {{"strides", Pads{2, 2}}, {"pads", Pads{1, 1, 1, 1}}},
                  {Zeros({8, 3, 3, 3})}),
            "[N, 8, 16, 16]");
  // A kernel of 3 with dilation 2 covers 5.
  EXPECT_EQ(Infer("Conv", {Image(3, 9, 9)}, {{"dilations", Pads{2, 2}}},
                  {Zeros({8, 3, 3, 3})}),
            "[N, 8, 5, 5]");
  EXPECT_EQ(Infer("Conv", {Image(4, 9, 9)}, {}, {Zeros({8, 3, 3, 3})}),
            "SHAPE_MISMATCH");
  EXPECT_EQ(
      Infer("Conv", {Image(3, 9, 9)},
            {{"auto_pad", std::string("SAME_UPPER")}, {"strides", Pads{2, 2}}},
            {Zeros({8, 3, 2, 2})}),
      "[N, 8, 5, 5]");
}

TEST(InferShapesTest, PoolingRoundsAsCeilModeSays) {
  const Attributes floor = {{"kernel_shape", Pads{2, 2}},
                            {"strides", Pads{2, 2}}};
  Attributes ceil = floor;
  ceil["ceil_mode"] = int64_t{1};
  EXPECT_EQ(Infer("MaxPool", {Image(3, 5, 5)}, floor), "[N, 3, 2, 2]");
  EXPECT_EQ(Infer("MaxPool", {Image(3, 5, 5)}, ceil), "[N, 3, 3, 3]");
  EXPECT_EQ(Infer("GlobalAveragePool", {Image(3, 5, 5)}), "[N, 3, 1, 1]");
}

TEST(InferShapesTest, LinearLayers) {
  EXPECT_EQ(Infer("Gemm", {{Dim::Symbol("N"), 6}}, {{"transB", int64_t{1}}},
                  {Zeros({4, 6})}),
            "[N, 4]");
  EXPECT_EQ(Infer("Gemm", {{Dim::Symbol("N"), 5}}, {{"transB", int64_t{1}}},
                  {Zeros({4, 6})}),
            "SHAPE_MISMATCH");
  EXPECT_EQ(Infer("MatMul", {{2, 3, 4}}, {}, {Zeros({4, 7})}), "[2, 3, 7]");
}

TEST(InferShapesTest, BroadcastingFollowsNumPy) {
  EXPECT_EQ(Infer("Add", {{2, 1, 4}, {3, 1}}), "[2, 3, 4]");
  EXPECT_EQ(Infer("Add", {{Dim::Symbol("N"), 4}, {1, 4}}), "[N, 4]");
  EXPECT_EQ(Infer("Mul", {{2, 3}, {2, 4}}), "SHAPE_MISMATCH");
}

TEST(InferShapesTest, LayoutOperators) {
  EXPECT_EQ(Infer("Flatten", {Image(3, 4, 5)}), "[N, 60]");
  EXPECT_EQ(Infer("Reshape", {Image(3, 4, 5)}, {}, {Ints({0, -1})}), "[N, 60]");
  EXPECT_EQ(Infer("Reshape", {{4, 6}}, {}, {Ints({5, -1})}), "SHAPE_MISMATCH");
  EXPECT_EQ(Infer("Transpose", {Image(3, 4, 5)}, {{"perm", Pads{0, 2, 3, 1}}}),
            "[N, 4, 5, 3]");
  EXPECT_EQ(
      Infer("Concat", {Image(3, 4, 5), Image(2, 4, 5)}, {{"axis", int64_t{1}}}),
      "[N, 5, 4, 5]");
  EXPECT_EQ(
      Infer("Concat", {Image(3, 4, 5), Image(2, 4, 6)}, {{"axis", int64_t{1}}}),
      "SHAPE_MISMATCH");
  EXPECT_EQ(Infer("Slice", {Image(3, 9, 9)}, {},
                  {Ints({1}), Ints({-1}), Ints({3}), Ints({2})}),
            "[N, 3, 9, 4]");
  EXPECT_EQ(
      Infer("Pad", {Image(3, 4, 5)}, {}, {Ints({0, 1, 0, 2, 0, 0, 0, 3})}),
      "[N, 4, 4, 10]");
  EXPECT_EQ(Infer("Unsqueeze", {{2, 3}}, {}, {Ints({0, 3})}), "[1, 2, 3, 1]");
  EXPECT_EQ(Infer("Squeeze", {{2, 1, 3}}, {}, {Ints({1})}), "[2, 3]");
  EXPECT_EQ(Infer("Gather", {{5, 3}}, {{"axis", int64_t{0}}}, {Ints({1, 2})}),
            "[2, 3]");
}

TEST(InferShapesTest, Reductions) {
  EXPECT_EQ(Infer("ReduceMean", {Image(3, 4, 5)}, {{"axes", Pads{2, 3}}}),
            "[N, 3, 1, 1]");
  EXPECT_EQ(Infer("ReduceMean", {Image(3, 4, 5)},
                  {{"axes", Pads{-1}}, {"keepdims", int64_t{0}}}),
            "[N, 3, 4]");
}

TEST(InferShapesTest, NormalisationMustFitItsChannels) {
  EXPECT_EQ(Infer("BatchNormalization", {Image(3, 4, 5)}, {},
                  {Zeros({2}), Zeros({2}), Zeros({2}), Zeros({2})}),
            "SHAPE_MISMATCH");
}

TEST(WindowTest, SameLowerPadsBeforeSameUpperAfter) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Image(1, 4, 4));
  for (const char* pad : {"SAME_LOWER", "SAME_UPPER"}) {
    const NodeId node = graph.AddNode(
        "MaxPool", "", {x}, {"y"},
        {{"kernel_shape", Pads{2, 2}}, {"auto_pad", std::string(pad)}});
    const Pads sizes = {4, 4};
    const Window window = WindowOf(graph.node(node), {}, sizes);
    const bool lower = std::string(pad) == "SAME_LOWER";
    EXPECT_EQ(window.pads_begin[0], lower ? 1 : 0);
    EXPECT_EQ(window.pads_end[0], lower ? 0 : 1);
    EXPECT_EQ(window.OutputSize(0, 4), 4);
  }
}

TEST(CostTest, CountsASmallNetByHand) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Image(3, 8, 8));
  const ValueId w = graph.AddConstant("w", Zeros({4, 3, 3, 3}));
  const ValueId b = graph.AddConstant("b", Zeros({4}));
  const ValueId conv =
      graph.node(graph.AddNode("Conv", "conv", {x, w, b}, {"c"})).outputs[0];
  const ValueId flat =
      graph.node(graph.AddNode("Flatten", "", {conv}, {"f"})).outputs[0];
  const ValueId fc = graph.AddConstant("fc", Zeros({10, 144}));
  graph.AddOutput(graph
                      .node(graph.AddNode("Gemm", "fc", {flat, fc}, {"y"},
                                          {{"transB", int64_t{1}}}))
                      .outputs[0]);
  ASSERT_TRUE(InferShapes(graph).ok());
  const Cost cost = CostOf(graph);
  // 4 * 6 * 6 outputs of 27 products, and 10 of 144.
  EXPECT_EQ(cost.macs, 4 * 36 * 27 + 1440);
  EXPECT_EQ(cost.parameters, 108 + 4 + 1440);
  EXPECT_EQ(cost.parameter_bytes, 4 * (108 + 4 + 1440));
}

}  // namespace
}  // namespace condense::graph
