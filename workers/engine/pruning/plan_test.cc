#include "workers/engine/pruning/plan.h"

#include "gtest/gtest.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/pruning/cut.h"
#include "workers/engine/pruning/importance.h"
#include "workers/engine/pruning/pruning_test_graphs.h"

namespace condense::pruning {
namespace {

using graph::Graph;
using graph::Tensor;
using graph::ValueId;

// Two 1x1 convolutions over 8x8 pixels: 3 -> 8 -> 2 channels.
Graph TwoLayers() {
  Graph graph;
  const ValueId a = AddConv(&graph, "a", AddImage(&graph), {8, 3, 1, 1});
  graph.AddOutput(AddConv(&graph, "b", a, {2, 8, 1, 1}));
  EXPECT_TRUE(graph::InferShapes(graph).ok());
  return graph;
}

TEST(ImportanceTest, IsTheNormOfTheFilterOverTheClustersMean) {
  Graph graph = TwoLayers();
  std::vector<float> weight(24, 0.0f);
  // Norms 5, 0, 0, ..., 3: mean 1.
  weight[0] = 3;
  weight[1] = -4;
  weight[23] = 3;
  graph.SetConstant(graph.FindValue("a.w"),
                    Tensor::Of<float>({8, 3, 1, 1}, weight));
  const Coupling coupling = FindCoupling(graph);
  const auto l2 = ChannelImportance(graph, coupling, Criterion::kL2, 0);
  EXPECT_DOUBLE_EQ(l2[0], 5.0);
  EXPECT_DOUBLE_EQ(l2[1], 0.0);
  EXPECT_DOUBLE_EQ(l2[7], 3.0);
  // Sums 7 and 3: mean 10/8.
  const auto l1 = ChannelImportance(graph, coupling, Criterion::kL1, 0);
  EXPECT_DOUBLE_EQ(l1[0], 7.0 / 1.25);
}

TEST(ImportanceTest, RandomScoresDependOnTheSeedAlone) {
  const Graph graph = TwoLayers();
  const Coupling coupling = FindCoupling(graph);
  const auto a = ChannelImportance(graph, coupling, Criterion::kRandom, 1);
  EXPECT_EQ(a, ChannelImportance(graph, coupling, Criterion::kRandom, 1));
  EXPECT_NE(a, ChannelImportance(graph, coupling, Criterion::kRandom, 2));
}

TEST(PlanTest, RemovesTheLeastImportantAndNoMoreThanNeeded) {
  const Graph graph = TwoLayers();
  const Coupling coupling = FindCoupling(graph);
  const std::vector<double> scores = {8, 1, 7, 2, 6, 3, 5, 4};
  // 64 pixels * (3 + 2) weights per channel: 320 each, 2560 in all.
  const Plan plan = MakePlan(graph, coupling, scores, {.limit = 1280});
  EXPECT_TRUE(plan.reached);
  EXPECT_DOUBLE_EQ(plan.macs, 1280);
  EXPECT_EQ(plan.removed, (std::vector<bool>{false, true, false, true, false,
                                             true, false, true}));
}

TEST(PlanTest, CountsAreRoundedUpToTheMultiple) {
  const Graph graph = TwoLayers();
  const Coupling coupling = FindCoupling(graph);
  const std::vector<double> scores = {1, 2, 3, 4, 5, 6, 7, 8};
  const Plan plan =
      MakePlan(graph, coupling, scores, {.limit = 1400, .channel_multiple = 4});
  EXPECT_EQ(plan.removed_channels, 4);
}

TEST(PlanTest, TheFloorHoldsAndAnUnreachableLimitIsSaid) {
  const Graph graph = TwoLayers();
  const Coupling coupling = FindCoupling(graph);
  const std::vector<double> scores(8, 1.0);
  const Plan plan =
      MakePlan(graph, coupling, scores, {.limit = 1, .floor = 0.25});
  EXPECT_FALSE(plan.reached);
  EXPECT_EQ(plan.removed_channels, 6);
}

TEST(PlanTest, ItsCostIsThatOfTheGraphAfterTheCut) {
  Graph graph = TwoLayers();
  const Coupling coupling = FindCoupling(graph);
  const auto scores = ChannelImportance(graph, coupling, Criterion::kL2, 0);
  const Plan plan = MakePlan(graph, coupling, scores,
                             {.budget = Budget::kParameters, .limit = 20});
  ASSERT_TRUE(CutChannels(coupling, plan.removed, &graph).ok());
  const graph::Cost cost = graph::CostOf(graph);
  EXPECT_DOUBLE_EQ(plan.macs, static_cast<double>(cost.macs));
  EXPECT_DOUBLE_EQ(plan.parameters, static_cast<double>(cost.parameters));
  EXPECT_EQ(cost.parameters, 20);
}

}  // namespace
}  // namespace condense::pruning
