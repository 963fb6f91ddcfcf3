// Each pass by its text before and after; a second run changes nothing.

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/graph/passes/fold_constants.h"
#include "workers/engine/graph/passes/remove_identity.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/graph/passes/symbolic_batch.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/graph/verify.h"

namespace condense::graph {
namespace {

using Pads = std::vector<int64_t>;

ValueId Op(Graph* graph, const std::string& op, std::vector<ValueId> inputs,
           std::map<std::string, Attribute> attrs = {}) {
  return graph
      ->node(graph->AddNode(op, "", std::move(inputs), {op}, std::move(attrs)))
      .outputs[0];
}

std::string Ops(const Graph& graph) {
  std::string ops;
  for (NodeId id : graph.order()) ops += graph.node(id).op + " ";
  return ops;
}

// Runs the pass twice; true if the first run changed something.
bool RunTwice(const Pass& pass, Graph* graph) {
  const auto first = pass.Run(*graph);
  EXPECT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(Verify(*graph).ok());
  const std::string text = ToText(*graph);
  const auto second = pass.Run(*graph);
  EXPECT_TRUE(second.ok() && !*second) << pass.Name() << " is not idempotent";
  EXPECT_EQ(ToText(*graph), text);
  return *first;
}

TEST(DeadCodeTest, RemovesWhatNoOutputNeeds) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{2});
  graph.AddOutput(Op(&graph, "Relu", {x}));
  Op(&graph, "Exp", {Op(&graph, "Neg", {x})});
  EXPECT_TRUE(RunTwice(DeadCode(), &graph));
  EXPECT_EQ(Ops(graph), "Relu ");
}

TEST(RemoveIdentityTest, KeepsTheOutputsName) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{2});
  const ValueId relu = Op(&graph, "Relu", {Op(&graph, "Dropout", {x})});
  graph.AddOutput(Op(&graph, "Identity", {relu}));
  EXPECT_TRUE(RunTwice(RemoveIdentity(), &graph));
  EXPECT_EQ(Ops(graph), "Relu ");
  EXPECT_EQ(graph.value(graph.outputs()[0]).name, "Identity");
}

TEST(FoldConstantsTest, ComputesShapeArithmetic) {
  Graph graph;
  const ValueId x =
      graph.AddInput("x", DType::kFloat32, Shape{Dim::Symbol("N"), 3, 4, 5});
  const ValueId a = graph.AddConstant("a", Tensor::Of<int64_t>({1}, Pads{6}));
  const ValueId b = graph.AddConstant("b", Tensor::Of<int64_t>({1}, Pads{7}));
  const ValueId sum = Op(&graph, "Add", {a, b});
  graph.AddOutput(Op(&graph, "Gather", {x, sum}));
  ASSERT_TRUE(InferShapes(graph).ok());
  EXPECT_TRUE(RunTwice(FoldConstants(), &graph));
  EXPECT_EQ(Ops(graph), "Gather ");
  const Node& gather = graph.node(graph.order()[0]);
  EXPECT_EQ(graph.ConstantOf(gather.inputs[1])->ToInts(), Pads{13});
}

TEST(SymbolicBatchTest, AFixedBatchOfOneOpensAndReshapesFollow) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{1, 3, 4, 4});
  const ValueId shape =
      graph.AddConstant("s", Tensor::Of<int64_t>({2}, Pads{1, -1}));
  graph.AddOutput(Op(&graph, "Reshape", {x, shape}));
  ASSERT_TRUE(Simplify(graph).ok());
  EXPECT_EQ(ShapeText(graph.value(graph.inputs()[0]).shape), "[N, 3, 4, 4]");
  EXPECT_EQ(ShapeText(graph.value(graph.outputs()[0]).shape), "[N, 48]");
  const std::string text = ToText(graph);
  ASSERT_TRUE(Simplify(graph).ok());
  EXPECT_EQ(ToText(graph), text);
}

TEST(FoldBatchNormTest, FollowsTheFormula) {
  Graph graph;
  const ValueId x =
      graph.AddInput("x", DType::kFloat32, Shape{Dim::Symbol("N"), 1, 2, 2});
  const auto constant = [&](const char* name, std::vector<int64_t> dims,
                            std::vector<float> values) {
    return graph.AddConstant(name, Tensor::Of<float>(dims, values));
  };
  const ValueId conv =
      Op(&graph, "Conv",
         {x, constant("w", {2, 1, 1, 1}, {3, 5}), constant("b", {2}, {1, 2})});
  graph.AddOutput(Op(
      &graph, "BatchNormalization",
      {conv, constant("scale", {2}, {2, 4}), constant("shift", {2}, {10, 20}),
       constant("mean", {2}, {0.5f, 1}), constant("var", {2}, {3, 15})},
      {{"epsilon", 1.0f}}));
  ASSERT_TRUE(InferShapes(graph).ok());
  EXPECT_TRUE(RunTwice(FoldBatchNorm(), &graph));
  EXPECT_EQ(Ops(graph), "Conv ");
  const Node& node = graph.node(graph.order()[0]);
  // g / sqrt(v + e): 2 / 2 = 1 and 4 / 4 = 1; biases (1 - 0.5) + 10, (2 - 1)
  // + 20.
  EXPECT_EQ(graph.ConstantOf(node.inputs[1])->ToFloats(),
            (std::vector<float>{3, 5}));
  EXPECT_EQ(graph.ConstantOf(node.inputs[2])->ToFloats(),
            (std::vector<float>{10.5f, 21}));
  EXPECT_EQ(graph.value(graph.outputs()[0]).name, "BatchNormalization");
}

}  // namespace
}  // namespace condense::graph
