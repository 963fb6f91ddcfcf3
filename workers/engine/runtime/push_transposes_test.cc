// Graphs as TensorFlow exports them, channels last: outputs before and after,
// and how many Transposes are left.

#include "workers/engine/graph/passes/push_transposes.h"

#include "gtest/gtest.h"
#include "workers/engine/graph/passes/fuse_bias.h"
#include "workers/engine/graph/passes/merge_transposes.h"
#include "workers/engine/runtime/pass_testing.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using graph::PushTransposes;
using graph::ValueId;
using Axes = std::vector<int64_t>;

const graph::Dim kBatch = graph::Dim::Symbol("N");

// An input [N, 6, 6, 4] and layers that take and give channels last.
struct TensorFlowMaker : Maker {
  TensorFlowMaker() : Maker({kBatch, 6, 6, 4}) {}

  ValueId First(ValueId in) {
    return Op("Transpose", {in}, {{"perm", Axes{0, 3, 1, 2}}});
  }
  ValueId Last(ValueId in) {
    return Op("Transpose", {in}, {{"perm", Axes{0, 2, 3, 1}}});
  }
  ValueId Conv(ValueId in, int64_t inputs, int64_t outputs, int64_t group = 1) {
    return Last(Op("Conv", {First(in), Random({outputs, inputs / group, 3, 3})},
                   {{"pads", Axes{1, 1, 1, 1}}, {"group", group}}));
  }
  ValueId BiasRelu(ValueId in, int64_t channels) {
    return Op("Relu", {Op("Add", {in, Random({channels})})});
  }
};

TEST(PushTransposesTest, BiasAddInChannelsLastAndTheResidualAdd) {
  TensorFlowMaker m;
  const ValueId stem = m.BiasRelu(m.Conv(m.x, 4, 8), 8);
  const ValueId branch = m.BiasRelu(m.Conv(stem, 8, 8), 8);
  const ValueId sum = m.Op("Relu", {m.Op("Add", {m.Conv(branch, 8, 8), stem})});
  Graph after = ExpectKeepsOutputs(PushTransposes(), m.Done(sum));
  // The graph's input and its output keep their layout.
  EXPECT_EQ(CountOf(after, "Transpose"), 2);
  EXPECT_TRUE(*graph::FuseBias().Run(after));
  EXPECT_EQ(Ops(after),
            "Transpose Conv Relu Conv Relu Conv Add Relu Transpose ");
}

TEST(PushTransposesTest, DepthwiseWithRelu6AndPadInChannelsLast) {
  TensorFlowMaker m;
  const auto relu6 = [&](ValueId in) {
    return m.Op("Clip", {in, m.Number(0), m.Number(6)});
  };
  const ValueId padded =
      m.Op("Pad", {relu6(m.Conv(m.x, 4, 8)), m.Ints({0, 0, 1, 0, 0, 1, 0, 0})});
  const ValueId depthwise = relu6(m.Conv(padded, 8, 8, 8));
  EXPECT_EQ(CountOf(ExpectKeepsOutputs(PushTransposes(), m.Done(depthwise)),
                    "Transpose"),
            2);
}

TEST(PushTransposesTest, ConcatAndSplitOfChannels) {
  TensorFlowMaker m;
  const ValueId stem = m.BiasRelu(m.Conv(m.x, 4, 8), 8);
  const ValueId joined =
      m.Op("Concat", {m.BiasRelu(m.Conv(stem, 8, 4), 4), stem},
           {{"axis", int64_t{-1}}});
  const auto split = m.graph.AddNode("Split", "", {joined}, {"a", "b"},
                                     {{"axis", int64_t{3}}});
  ASSERT_TRUE(graph::InferNode(m.graph, split).ok());
  const ValueId a = m.graph.node(split).outputs[0];
  const ValueId b = m.graph.node(split).outputs[1];
  const ValueId y = m.Op("Mul", {m.Op("Sigmoid", {a}), b});
  EXPECT_EQ(
      CountOf(ExpectKeepsOutputs(PushTransposes(), m.Done(y)), "Transpose"), 2);
}

TEST(PushTransposesTest, MeanOverThePlacesLeavesNothingToTranspose) {
  for (int64_t keep : {0, 1}) {
    TensorFlowMaker m;
    const ValueId features = m.BiasRelu(m.Conv(m.x, 4, 8), 8);
    ValueId mean = m.Op("ReduceMean", {features},
                        {{"axes", Axes{1, 2}}, {"keepdims", keep}});
    if (keep != 0) mean = m.Op("Squeeze", {mean, m.Ints({1, 2})});
    const Graph after = ExpectKeepsOutputs(
        PushTransposes(), m.Done(m.Op("MatMul", {mean, m.Random({8, 3})})));
    EXPECT_EQ(CountOf(after, "Transpose"), 1);
  }
}

TEST(PushTransposesTest, FlattenBeforeADenseLayerPermutesItsRows) {
  for (int form = 0; form < 3; ++form) {
    SCOPED_TRACE(form);
    TensorFlowMaker m;
    const ValueId features = m.BiasRelu(m.Conv(m.x, 4, 8), 8);
    const ValueId flat = m.Op("Reshape", {features, m.Ints({-1, 288})});
    const ValueId y =
        form == 0
            ? m.Op("MatMul", {flat, m.Random({288, 3})})
            : m.Op("Gemm",
                   {flat, m.Random(form == 1 ? Axes{288, 3} : Axes{3, 288})},
                   {{"transB", int64_t{form == 2}}});
    EXPECT_EQ(
        CountOf(ExpectKeepsOutputs(PushTransposes(), m.Done(y)), "Transpose"),
        1);
  }
}

TEST(PushTransposesTest, PoolingAndActivationsOfEveryKind) {
  TensorFlowMaker m;
  ValueId y = m.Conv(m.x, 4, 8);
  y = m.Op("PRelu", {y, m.Random({1, 1, 8})});
  y = m.Last(m.Op("MaxPool", {m.First(y)},
                  {{"kernel_shape", Axes{2, 2}}, {"strides", Axes{2, 2}}}));
  y = m.Op("Slice", {y, m.Ints({0}), m.Ints({4}), m.Ints({3})});
  y = m.Op("Softmax", {y}, {{"axis", int64_t{-1}}});
  EXPECT_EQ(
      CountOf(ExpectKeepsOutputs(PushTransposes(), m.Done(y)), "Transpose"), 2);
}

TEST(PushTransposesTest, WhatGainsNothingStays) {
  TensorFlowMaker m;
  Graph graph = m.Done(m.BiasRelu(m.Conv(m.x, 4, 8), 8));
  const std::string text = graph::ToText(graph);
  EXPECT_FALSE(*PushTransposes().Run(graph));
  EXPECT_EQ(graph::ToText(graph), text);
}

TEST(MergeTransposesTest, TwoBecomeOneAndInversesNone) {
  Maker two({2, 3, 4, 5});
  const ValueId turned =
      two.Op("Transpose", {two.x}, {{"perm", Axes{0, 2, 3, 1}}});
  EXPECT_EQ(
      Ops(ExpectKeepsOutputs(graph::MergeTransposes(),
                             two.Done(two.Op("Transpose", {turned},
                                             {{"perm", Axes{1, 0, 2, 3}}})))),
      "Transpose ");
  TensorFlowMaker inverse;
  EXPECT_EQ(Ops(ExpectKeepsOutputs(
                graph::MergeTransposes(),
                inverse.Done(inverse.Op(
                    "Relu", {inverse.Last(inverse.First(inverse.x))})))),
            "Relu ");
}

}  // namespace
}  // namespace condense::runtime
