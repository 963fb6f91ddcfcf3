// What older and newer operator sets write otherwise, brought to Graph::kOpset.

#include "workers/engine/import/opset.h"

#include <algorithm>

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/import/default_attributes.h"

namespace condense::onnx_import {
namespace {

using graph::Dim;
using graph::DType;
using graph::Graph;
using graph::Node;
using graph::Shape;
using graph::Tensor;
using graph::ValueId;
using Attributes = std::map<std::string, graph::Attribute>;
using Ints = std::vector<int64_t>;

// One node over x [2, 4, 8] (or the given shape) and constants behind it.
Graph One(const std::string& op, Attributes attrs,
          const std::vector<Tensor>& constants = {}, Shape shape = {2, 4, 8},
          int outputs = 1) {
  Graph g;
  std::vector<ValueId> inputs = {g.AddInput("x", DType::kFloat32, shape)};
  for (const Tensor& constant : constants) {
    inputs.push_back(g.AddConstant("c", constant));
  }
  const std::vector<std::string> names(outputs, "y");
  const auto id = g.AddNode(op, "node", inputs, names, std::move(attrs));
  g.AddOutput(g.node(id).outputs[0]);
  return g;
}

Tensor List(const Ints& values) {
  return Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values);
}
Tensor Floats(const std::vector<float>& values) {
  return Tensor::Of<float>({static_cast<int64_t>(values.size())}, values);
}

// The node after BringToOpset, and its constant inputs.
struct Brought {
  Graph graph;
  Node node;
  std::string ops;
  Ints IntsAt(size_t i) const {
    const Tensor* tensor = graph.ConstantOf(node.input(i));
    return tensor == nullptr ? Ints{-999} : tensor->ToInts();
  }
  float FloatAt(size_t i) const {
    const Tensor* tensor = graph.ConstantOf(node.input(i));
    return tensor == nullptr ? -999 : tensor->ToFloats()[0];
  }
};

Brought Bring(Graph g, int from) {
  const absl::Status status = BringToOpset(g, from);
  EXPECT_TRUE(status.ok()) << status;
  Brought brought;
  for (graph::NodeId id : g.order()) {
    brought.ops += g.node(id).op + " ";
    if (g.node(id).name == "node") brought.node = g.node(id);
  }
  EXPECT_TRUE(graph::InferShapes(g).ok());
  EXPECT_EQ(g.opset, Graph::kOpset);
  brought.graph = std::move(g);
  return brought;
}

TEST(OpsetTest, AttributesThatBecameInputs) {
  const Brought slice = Bring(
      One("Slice", {{"starts", Ints{1}}, {"ends", Ints{3}}, {"axes", Ints{1}}}),
      9);
  EXPECT_EQ(slice.IntsAt(1), Ints{1});
  EXPECT_EQ(slice.IntsAt(2), Ints{3});
  EXPECT_EQ(slice.IntsAt(3), Ints{1});
  EXPECT_TRUE(slice.node.attrs.empty());
  const Brought clip = Bring(One("Clip", {{"min", -1.0f}, {"max", 2.0f}}), 6);
  EXPECT_EQ(clip.FloatAt(1), -1);
  EXPECT_EQ(clip.FloatAt(2), 2);
  const Brought pad =
      Bring(One("Pad", {{"pads", Ints{0, 0, 1, 0, 0, 1}}, {"value", 3.0f}}), 2);
  EXPECT_EQ(pad.IntsAt(1), (Ints{0, 0, 1, 0, 0, 1}));
  EXPECT_EQ(pad.FloatAt(2), 3);
  EXPECT_EQ(Bring(One("Unsqueeze", {{"axes", Ints{0}}}), 11).IntsAt(1),
            Ints{0});
  EXPECT_EQ(Bring(One("ReduceSum", {{"axes", Ints{2}}}), 11).IntsAt(1),
            Ints{2});
  const Brought topk =
      Bring(One("TopK", {{"k", int64_t{3}}}, {}, {2, 8}, 2), 9);
  EXPECT_EQ(topk.IntsAt(1), Ints{3});
}

TEST(OpsetTest, InputsThatWereAttributes) {
  const Brought mean = Bring(One("ReduceMean", {}, {List({1, 2})}), 18);
  EXPECT_EQ(mean.node.Ints("axes"), (Ints{1, 2}));
  EXPECT_EQ(mean.node.inputs.size(), 1u);
  const Brought none = Bring(
      One("ReduceMax", {{"noop_with_empty_axes", int64_t{1}}}, {List({})}), 18);
  EXPECT_FALSE(none.node.Has("axes"));
  EXPECT_EQ(none.node.Int("noop_with_empty_axes", 0), 1);
  const Shape signal = {1, 8, 6, 1};
  Graph dft = One("DFT", {}, {}, signal);
  Node& node = dft.mutable_node(dft.order()[0]);
  node.inputs.push_back(graph::kNoValue);
  node.inputs.push_back(dft.AddConstant("axis", Tensor::Scalar<int64_t>(2)));
  EXPECT_EQ(Bring(dft, 20).node.Int("axis", 0), 2);
  EXPECT_EQ(Bring(One("DFT", {}, {}, signal), 20).node.Int("axis", 0), -2);
  EXPECT_EQ(Bring(One("DFT", {}, {}, signal), 17).node.Int("axis", 1), 1);
}

TEST(OpsetTest, SoftmaxOverSeveralAxesIsFlattenedBefore13) {
  EXPECT_EQ(Bring(One("Softmax", {{"axis", int64_t{1}}}), 11).ops,
            "Flatten Shape Softmax Reshape ");
  EXPECT_EQ(Bring(One("Softmax", {{"axis", int64_t{2}}}), 11).ops, "Softmax ");
  EXPECT_EQ(Bring(One("Softmax", {{"axis", int64_t{1}}}), 13).ops, "Softmax ");
}

TEST(OpsetTest, OperandsWereAlignedAtAnAxisBefore7) {
  const Graph g = One("Add", {{"broadcast", int64_t{1}}, {"axis", int64_t{1}}},
                      {Floats({1, 2, 3, 4})});
  const Brought add = Bring(g, 6);
  EXPECT_EQ(add.ops, "Unsqueeze Add ");
  EXPECT_EQ(graph::ShapeText(add.graph.value(add.node.inputs[1]).shape),
            "[4, 1]");
  EXPECT_TRUE(add.node.attrs.empty());
}

TEST(OpsetTest, UpsampleIsAnAsymmetricResize) {
  const Brought up = Bring(One("Upsample", {{"mode", std::string("linear")}},
                               {Floats({1, 1, 2, 2})}, {1, 2, 3, 3}),
                           9);
  EXPECT_EQ(up.node.op, "Resize");
  EXPECT_EQ(up.node.String("coordinate_transformation_mode", ""), "asymmetric");
  EXPECT_EQ(up.FloatAt(2), 1);
  EXPECT_EQ(graph::ShapeText(up.graph.value(up.node.outputs[0]).shape),
            "[1, 2, 6, 6]");
}

TEST(OpsetTest, GroupsOfGroupNormalizationBecomeChannelsBefore21) {
  Graph g = One("GroupNormalization", {{"num_groups", int64_t{2}}},
                {Floats({1, 2}), Floats({3, 4})});
  const Brought norm = Bring(g, 18);
  EXPECT_EQ(graph::ShapeText(norm.graph.value(norm.node.inputs[1]).shape),
            "[4]");
  EXPECT_EQ(graph::ShapeText(norm.graph.value(norm.node.inputs[2]).shape),
            "[4]");
  g = One("GroupNormalization", {{"num_groups", int64_t{2}}},
          {Floats({1, 2, 3, 4}), Floats({5, 6, 7, 8})});
  EXPECT_EQ(Bring(g, 21).ops, "GroupNormalization ");
}

TEST(OpsetTest, PartsOfAShapeAreCutOut) {
  const Brought part =
      Bring(One("Shape", {{"start", int64_t{1}}, {"end", int64_t{-1}}}), 17);
  EXPECT_EQ(part.ops, "Shape Slice ");
  EXPECT_TRUE(part.node.attrs.empty());
  EXPECT_EQ(part.graph.value(part.graph.outputs()[0]).name, "y");
  EXPECT_EQ(graph::ShapeText(part.graph.value(part.graph.outputs()[0]).shape),
            "[1]");
}

TEST(OpsetTest, RoiAlignHadNoHalfPixelBefore16) {
  const std::vector<Tensor> regions = {
      Tensor::Of<float>({1, 4}, std::vector<float>{0, 0, 1, 1}), List({0})};
  const Shape image = {1, 2, 4, 4};
  const char* key = "coordinate_transformation_mode";
  EXPECT_EQ(Bring(One("RoiAlign", {}, regions, image), 10).node.String(key, ""),
            "output_half_pixel");
  EXPECT_EQ(Bring(One("RoiAlign", {}, regions, image), 16).node.String(key, ""),
            "");
}

TEST(OpsetTest, WhatOnlyTrainingReadsIsLeftOut) {
  const Brought dropout =
      Bring(One("Dropout", {{"ratio", 0.5f}, {"is_test", int64_t{1}}}, {},
                {2, 4, 8}, 2),
            6);
  EXPECT_TRUE(dropout.node.attrs.empty());
  EXPECT_EQ(dropout.node.outputs.size(), 1u);
  Graph norm = One("BatchNormalization", {},
                   {Floats({1, 1, 1, 1}), Floats({0, 0, 0, 0}),
                    Floats({0, 0, 0, 0}), Floats({1, 1, 1, 1})},
                   {2, 4, 8}, 2);
  norm.AddOutput(norm.node(norm.order()[0]).outputs[1]);
  EXPECT_EQ(ErrorReason(BringToOpset(norm, 9)), "UNSUPPORTED_OPERATOR");
}

TEST(OpsetTest, NodesWithoutTheirInputAreTypedErrors) {
  Graph g = One("Relu", {});
  g.mutable_node(g.order()[0]).inputs.clear();
  EXPECT_EQ(ErrorReason(BringToOpset(g, 13)), "BAD_GRAPH");
}

TEST(DefaultAttributesTest, WhatSaysNothingIsDropped) {
  const auto left = [](Graph g) {
    DropDefaultAttributes(g);
    return g.node(g.order()[0]).attrs.size();
  };
  const Attributes zero = {{"allowzero", int64_t{1}}};
  EXPECT_EQ(left(One("Reshape", zero, {List({2, -1})})), 0u);
  EXPECT_EQ(left(One("Reshape", zero, {List({0, 4})})), 1u);
  EXPECT_EQ(left(One("Reshape", {{"allowzero", int64_t{0}}}, {List({0, 4})})),
            0u);
  const Attributes noop = {{"noop_with_empty_axes", int64_t{1}}};
  EXPECT_EQ(left(One("ReduceSum", noop, {List({1})})), 0u);
  EXPECT_EQ(left(One("ReduceSum", noop)), 1u);
  EXPECT_EQ(left(One("AveragePool", {{"dilations", Ints{1, 1}}})), 0u);
  EXPECT_EQ(left(One("AveragePool", {{"dilations", Ints{1, 2}}})), 1u);
  EXPECT_EQ(left(One("ScatterND", {{"reduction", std::string("none")}})), 0u);
}

TEST(OpsetTest, KnownOperatorsAreSortedAndKnown) {
  const std::vector<std::string> known = KnownOperators();
  EXPECT_TRUE(std::is_sorted(known.begin(), known.end()));
  EXPECT_TRUE(IsKnownOperator("Conv"));
  EXPECT_FALSE(IsKnownOperator("conv"));
}

}  // namespace
}  // namespace condense::onnx_import
