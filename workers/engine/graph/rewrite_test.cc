#include "workers/engine/graph/rewrite.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(RewriterTest, TheResultTakesOverTheOutputAndItsReaders) {
  Graph graph = Read(R"(
  input x: float32 [N, 2]
  a = Mish(x)
  y = Relu(a)
  output a
  output y)");
  const NodeId mish = graph.FindNode("a");
  Rewriter rewriter(&graph, mish);
  const ValueId soft = rewriter.Op("Softplus", {graph.inputs()[0]});
  EXPECT_EQ(ShapeText(graph.value(soft).shape), "[N, 2]");
  rewriter.Replace(rewriter.Op("Tanh", {soft}));
  EXPECT_FALSE(graph.HasNode(mish));
  EXPECT_TRUE(Verify(graph).ok());
  const ValueId a = graph.FindValue("a");
  EXPECT_NE(MadeBy(graph, a, "Tanh"), nullptr);
  EXPECT_EQ(graph.outputs()[0], a);
  EXPECT_EQ(graph.node(graph.FindNode("y")).inputs[0], a);
}

TEST(RewriterTest, NewNodesStandBeforeTheOneThatGoes) {
  Graph graph = Read(R"(
  input x: float32 [2]
  a = Relu(x)
  b = Neg(a)
  c = Abs(b)
  output c)");
  Rewriter rewriter(&graph, graph.FindNode("b"));
  const ValueId two = rewriter.Float(2);
  rewriter.Replace(rewriter.Op("Mul", {graph.FindValue("a"), two}));
  ASSERT_EQ(graph.order().size(), 3u);
  EXPECT_EQ(graph.node(graph.order()[1]).op, "Mul");
}

TEST(PatternTest, OnlyConsumerIsTheOneReaderOfWhatIsNoOutput) {
  const Graph graph = Read(R"(
  input x: float32 [2]
  a = Relu(x)
  b = Neg(a)
  c = Add(b, b)
  d = Abs(a)
  output c
  output d)");
  EXPECT_EQ(OnlyConsumer(graph, graph.FindValue("a")), kNoNode);
  EXPECT_EQ(OnlyConsumer(graph, graph.FindValue("b")), graph.FindNode("c"));
  EXPECT_EQ(OnlyConsumer(graph, graph.FindValue("c")), kNoNode);
}

TEST(PatternTest, NumbersAreConstantsOfOneFloat) {
  const Graph graph = Read(R"(
  input x: float32 [2]
  const half: float32 [1] = {0.5}
  const pair: float32 [2] = {0.5, 0.5}
  const whole: int64 [] = {2}
  a = Mul(half, x)
  b = Add(a, pair)
  c = Gather(b, whole)
  output c)");
  EXPECT_EQ(NumberOf(graph, graph.FindValue("half")), 0.5f);
  EXPECT_EQ(NumberOf(graph, graph.FindValue("pair")), std::nullopt);
  EXPECT_EQ(NumberOf(graph, graph.FindValue("whole")), std::nullopt);
  EXPECT_EQ(NumberOf(graph, kNoValue), std::nullopt);
  const Node& mul = graph.node(graph.FindNode("a"));
  EXPECT_EQ(OtherThanNumber(graph, mul, 0.5f), graph.FindValue("x"));
  EXPECT_EQ(OtherThanNumber(graph, mul, 0.25f), kNoValue);
}

}  // namespace
}  // namespace condense::graph
