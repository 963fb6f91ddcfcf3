#include "workers/engine/pruning/coupling.h"

#include "gtest/gtest.h"
#include "workers/engine/pruning/pruning_test_graphs.h"

namespace condense::pruning {
namespace {

using graph::Graph;
using graph::ValueId;

const Cluster& ClusterOf(const Coupling& coupling, const std::string& layer) {
  return coupling.clusters[coupling.cluster_of_layer.at(layer)];
}

TEST(CouplingTest, AFilterGoesWithTheWeightsThatReadIt) {
  Graph graph;
  ValueId y = AddConv(&graph, "a", AddImage(&graph), {6, 3, 3, 3});
  y = AddOp(&graph, "Relu", {y});
  graph.AddOutput(AddConv(&graph, "b", y, {4, 6, 3, 3}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  const Coupling coupling = FindCoupling(graph);
  ASSERT_EQ(coupling.channels.size(), 6u);
  const ValueId a = graph.FindValue("a.w");
  const ValueId b = graph.FindValue("b.w");
  const std::vector<Slice> expected = {{a, 0, 2, false}, {b, 1, 2, true}};
  EXPECT_EQ(coupling.channels[2].slices, expected);
  EXPECT_EQ(ClusterOf(coupling, "a").name, "a");
  EXPECT_EQ(coupling.frozen.at("b"), "it makes an output of the model");
}

TEST(CouplingTest, AResidualAddTiesBothBranches) {
  Graph graph;
  const ValueId a = AddConv(&graph, "a", AddImage(&graph), {4, 3, 1, 1});
  const ValueId b = AddConv(&graph, "b", a, {4, 4, 3, 3});
  const ValueId sum = AddOp(&graph, "Add", {a, b});
  graph.AddOutput(AddConv(&graph, "c", sum, {2, 4, 1, 1}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  const Coupling coupling = FindCoupling(graph);
  EXPECT_EQ(coupling.channels.size(), 4u);
  EXPECT_EQ(coupling.cluster_of_layer.at("a"),
            coupling.cluster_of_layer.at("b"));
  // a's filter, b's filter, b's input and c's input.
  EXPECT_EQ(coupling.channels[0].slices.size(), 4u);
}

TEST(CouplingTest, ADepthwiseChannelGoesWithItsInput) {
  Graph graph;
  const ValueId a = AddConv(&graph, "a", AddImage(&graph), {4, 3, 1, 1});
  const ValueId d = AddConv(&graph, "d", a, {8, 1, 3, 3}, 4);
  graph.AddOutput(AddConv(&graph, "c", d, {2, 8, 1, 1}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  const Coupling coupling = FindCoupling(graph);
  ASSERT_EQ(coupling.channels.size(), 4u);
  const ValueId c = graph.FindValue("c.w");
  std::vector<int64_t> read;
  for (const Slice& slice : coupling.channels[1].slices) {
    if (slice.constant == c) read.push_back(slice.index);
  }
  EXPECT_EQ(read, (std::vector<int64_t>{2, 3}));
}

TEST(CouplingTest, GroupsStayEquallyWide) {
  Graph graph;
  const ValueId a = AddConv(&graph, "a", AddImage(&graph), {6, 3, 1, 1});
  const ValueId g = AddConv(&graph, "g", a, {4, 3, 3, 3}, 2);
  graph.AddOutput(AddConv(&graph, "c", g, {2, 4, 1, 1}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  const Coupling coupling = FindCoupling(graph);
  // Three input positions, two output positions.
  EXPECT_EQ(ClusterOf(coupling, "a").channels.size(), 3u);
  EXPECT_EQ(ClusterOf(coupling, "g").channels.size(), 2u);
}

TEST(CouplingTest, AFlattenedChannelOwnsAllOfItsColumns) {
  Graph graph;
  const ValueId a = AddConv(&graph, "a", AddImage(&graph), {2, 3, 1, 1});
  const ValueId flat = AddOp(&graph, "Flatten", {a}, {{"axis", int64_t{1}}});
  const ValueId w = graph.AddConstant("fc.w", Waves({5, 128}, 1));
  const auto fc =
      graph.AddNode("Gemm", "fc", {flat, w}, {"y"}, {{"transB", int64_t{1}}});
  graph.AddOutput(graph.node(fc).outputs[0]);
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  const Coupling coupling = FindCoupling(graph);
  ASSERT_EQ(coupling.channels.size(), 2u);
  // One filter and 64 columns.
  EXPECT_EQ(coupling.channels[1].slices.size(), 65u);
  EXPECT_EQ(coupling.channels[1].slices[1].index, 64);
}

TEST(CouplingTest, ConcatKeepsTheBranchesApart) {
  Graph graph;
  const ValueId x = AddImage(&graph);
  const ValueId a = AddConv(&graph, "a", x, {2, 3, 1, 1});
  const ValueId b = AddConv(&graph, "b", x, {3, 3, 1, 1});
  const ValueId both = AddOp(&graph, "Concat", {a, b}, {{"axis", int64_t{1}}});
  graph.AddOutput(AddConv(&graph, "c", both, {2, 5, 1, 1}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  const Coupling coupling = FindCoupling(graph);
  EXPECT_EQ(ClusterOf(coupling, "a").channels.size(), 2u);
  EXPECT_EQ(ClusterOf(coupling, "b").channels.size(), 3u);
  const Channel& second_of_b =
      coupling.channels[ClusterOf(coupling, "b").channels[1]];
  EXPECT_EQ(second_of_b.slices.back().index, 3);
}

TEST(CouplingTest, AnOperatorThatMixesChannelsFreezesThemAndSaysSo) {
  Graph graph;
  const ValueId a = AddConv(&graph, "a", AddImage(&graph), {4, 3, 1, 1});
  const ValueId soft = AddOp(&graph, "Softmax", {a}, {{"axis", int64_t{1}}});
  graph.AddOutput(AddConv(&graph, "c", soft, {2, 4, 1, 1}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  const Coupling coupling = FindCoupling(graph);
  EXPECT_TRUE(coupling.channels.empty());
  EXPECT_NE(coupling.frozen.at("a").find("Softmax"), std::string::npos);
}

TEST(CouplingTest, OverridesKeepALayer) {
  Graph graph;
  const ValueId a = AddConv(&graph, "a", AddImage(&graph), {4, 3, 1, 1});
  graph.AddOutput(AddConv(&graph, "c", a, {2, 4, 1, 1}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  const Coupling coupling = FindCoupling(graph, {"a"});
  EXPECT_EQ(coupling.frozen.at("a"), "the recipe's overrides keep it");
}

}  // namespace
}  // namespace condense::pruning
