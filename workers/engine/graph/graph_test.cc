#include "workers/engine/graph/graph.h"

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/graph/verify.h"

namespace condense::graph {
namespace {

ValueId Op(Graph* graph, const std::string& op, std::vector<ValueId> inputs) {
  return graph->node(graph->AddNode(op, "", std::move(inputs), {op}))
      .outputs[0];
}

// x -> Relu -> Sigmoid -> y
Graph Chain() {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{2});
  graph.AddOutput(Op(&graph, "Sigmoid", {Op(&graph, "Relu", {x})}));
  return graph;
}

TEST(GraphTest, NamesStayUnique) {
  Graph graph;
  const ValueId a = graph.AddInput("x", DType::kFloat32, Shape{1});
  const ValueId b = graph.AddConstant("x", Tensor::Scalar<float>(1));
  EXPECT_NE(graph.value(a).name, graph.value(b).name);
  EXPECT_EQ(graph.FindValue(graph.value(b).name), b);
  // A node without a name takes that of its first output.
  const NodeId node = graph.AddNode("Relu", "", {a}, {"y"});
  EXPECT_EQ(graph.node(node).name, "y");
}

TEST(GraphTest, InsertedNodesStandInOrder) {
  Graph graph = Chain();
  const NodeId sigmoid = graph.order()[1];
  const ValueId relu = graph.node(graph.order()[0]).outputs[0];
  graph.InsertBefore(sigmoid, "Abs", "before", {relu}, "a");
  graph.InsertAfter(sigmoid, "Neg", "after", {relu}, "b");
  std::string ops;
  for (NodeId id : graph.order()) ops += graph.node(id).op + " ";
  EXPECT_EQ(ops, "Relu Abs Sigmoid Neg ");
  EXPECT_TRUE(Verify(graph).ok());
}

TEST(GraphTest, ReplacedUsesReachNodesAndOutputs) {
  Graph graph = Chain();
  const ValueId x = graph.inputs()[0];
  const ValueId y = graph.outputs()[0];
  graph.ReplaceUses(y, x, /*also_outputs=*/false);
  EXPECT_EQ(graph.outputs()[0], y);
  graph.ReplaceUses(y, x);
  EXPECT_EQ(graph.outputs()[0], x);
}

TEST(GraphTest, ACopyIsItsOwn) {
  Graph graph = Chain();
  const std::string before = ToText(graph);
  Graph copy = graph;
  copy.mutable_node(copy.order()[0]).op = "Abs";
  EXPECT_EQ(ToText(graph), before);
  EXPECT_NE(ToText(copy), before);
}

TEST(GraphTest, ConsumersAreListedOnceEach) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{2});
  graph.AddOutput(Op(&graph, "Add", {x, x}));
  EXPECT_EQ(graph.Consumers(x).size(), 1u);
  EXPECT_EQ(graph.ConsumerTable()[x].size(), 1u);
}

TEST(GraphTest, SortingPutsProducersFirstAndFindsCycles) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{2});
  const ValueId later = graph.AddValue("later");
  const NodeId early = graph.AddNode("Neg", "early", {later}, {"out"});
  const NodeId late = graph.AddNode("Relu", "late", {x}, {"r"});
  graph.ReplaceUses(later, graph.node(late).outputs[0]);
  graph.AddOutput(graph.node(early).outputs[0]);
  EXPECT_FALSE(Verify(graph).ok());
  EXPECT_TRUE(graph.SortTopologically());
  EXPECT_EQ(graph.order().front(), late);
  EXPECT_TRUE(Verify(graph).ok());
  graph.mutable_node(late).inputs[0] = graph.node(early).outputs[0];
  EXPECT_FALSE(graph.SortTopologically());
}

TEST(GraphTest, AMissingProducerIsABadGraphAtItsNode) {
  Graph graph;
  const ValueId nobody = graph.AddValue("nobody");
  graph.AddNode("Relu", "reader", {nobody}, {"y"});
  graph.AddOutput(graph.FindValue("y"));
  const absl::Status status = Verify(graph);
  EXPECT_EQ(ErrorReason(status), "BAD_GRAPH");
  EXPECT_EQ(ErrorDetailOf(status).node, "reader");
}

TEST(GraphTest, ManyOfOneNameAreNumberedFromOneOn) {
  Graph graph;
  for (int i = 0; i < 50; ++i) {
    const ValueId id = graph.AddValue("x");
    EXPECT_EQ(graph.value(id).name, i == 0 ? "x" : absl::StrCat("x_", i));
  }
  graph.AddValue("y_2");
  graph.AddValue("y");
  EXPECT_EQ(graph.value(graph.AddValue("y")).name, "y_1");
  EXPECT_EQ(graph.value(graph.AddValue("y")).name, "y_3");
}

}  // namespace
}  // namespace condense::graph
