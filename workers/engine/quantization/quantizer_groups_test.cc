#include "workers/engine/quantization/quantizer_groups.h"

#include <set>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/quantization/training_graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;

// c0, c1 and c2 in a row, and the sum of what c0 and c2 give.
Graph Placed() {
  Graph g;
  const ValueId x = Image(&g, 2);
  const ValueId first = Conv(&g, "c0", x, 2, 2);
  const ValueId second = Conv(&g, "c1", first, 2, 2);
  const ValueId third = Conv(&g, "c2", second, 2, 2);
  g.AddOutput(Op(&g, "Add", "sum", {first, third}));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return PlaceQuantizers(g, RuntimeNumerics())->graph;
}

// The layers whose weights are quantized.
std::set<std::string> Quantized(const Graph& g) {
  std::set<std::string> names;
  for (const char* name : {"c0", "c1", "c2"}) {
    if (QuantizerInto(g, name, 1) != nullptr) names.insert(name);
  }
  return names;
}

TEST(QuantizerGroupsTest, EachGroupComesWithItsLayersAndTheirInputs) {
  Graph g = Placed();
  AssignGroups({"c1", "c2", "c0"}, 3, &g);
  const Graph one = UpToGroup(g, 0), two = UpToGroup(g, 1),
              all = UpToGroup(g, 2);
  EXPECT_EQ(Quantized(one), std::set<std::string>{"c1"});
  EXPECT_EQ(Quantized(two), (std::set<std::string>{"c1", "c2"}));
  EXPECT_EQ(Quantized(all), (std::set<std::string>{"c0", "c1", "c2"}));
  // The input of c1; the model's input and the output of c2 come last.
  EXPECT_EQ(Count(one, "activation"), 1);
  EXPECT_NE(QuantizerInto(one, "c1"), nullptr);
  EXPECT_EQ(QuantizerInto(one, "c0"), nullptr);
  EXPECT_EQ(Count(all, "activation"), Count(g, "activation"));
  EXPECT_EQ(one.value(one.outputs()[0]).name, g.value(g.outputs()[0]).name);
}

TEST(QuantizerGroupsTest, LayersAreSharedOutEvenly) {
  Graph g = Placed();
  AssignGroups({"c0", "c1", "c2"}, 2, &g);
  EXPECT_EQ(Quantized(UpToGroup(g, 0)), (std::set<std::string>{"c0", "c1"}));
  AssignGroups({"c0", "c1", "c2"}, 6, &g);
  EXPECT_EQ(Quantized(UpToGroup(g, 0)), (std::set<std::string>{"c0"}));
  EXPECT_EQ(Quantized(UpToGroup(g, 3)), (std::set<std::string>{"c0", "c1"}));
}

TEST(QuantizerGroupsTest, TheLastGroupIsTheWholeSimulation) {
  Graph g = Placed();
  g.mutable_node(g.FindNode("c2")).attrs["group"] = int64_t{1};
  const Graph placed = g;
  AssignGroups({"c2", "c0", "c1"}, 2, &g);
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = torch::rand({2, 2, 6, 6});
  const auto run = [&](const Graph& graph) {
    return (*runtime::Executor::Create(graph))->Forward({x})[0];
  };
  EXPECT_TRUE(torch::equal(run(UpToGroup(g, 1)), run(placed)));
  EXPECT_FALSE(torch::equal(run(UpToGroup(g, 0)), run(placed)));
  RemoveGroups(&g);
  for (graph::NodeId id : g.order()) {
    EXPECT_EQ(g.node(id).Has("group"), g.node(id).name == "c2");
  }
}

TEST(QuantizerGroupsTest, ScalesThatWereLearntAreNotFoundAnew) {
  Graph g = Placed();
  AssignGroups({"c0", "c1", "c2"}, 3, &g);
  const auto scale = [](const Graph& graph, const char* name) {
    return Floats(graph, QuantizerInto(graph, name, 1)->inputs[1]);
  };
  TrainingGraphOptions options;
  options.rule = ScaleRule::kLsq;
  const std::vector<float> placed = scale(g, "c0");
  EXPECT_NE(scale(TrainingGraph(UpToGroup(g, 1), options), "c0"), placed);
  MarkTrained(0, &g);
  const Graph next = TrainingGraph(UpToGroup(g, 1), options);
  EXPECT_EQ(scale(next, "c0"), placed);
  EXPECT_NE(scale(next, "c1"), scale(g, "c1"));
}

}  // namespace
}  // namespace condense::quantization
