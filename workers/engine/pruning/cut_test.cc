#include "workers/engine/pruning/cut.h"

#include <torch/torch.h>

#include "gtest/gtest.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/graph/cost.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/pruning/importance.h"
#include "workers/engine/pruning/plan.h"
#include "workers/engine/pruning/pruning_test_graphs.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pruning {
namespace {

using graph::Graph;
using graph::ValueId;

// The greatest difference of the first outputs, relative to the greatest value.
double Difference(const Graph& a, const Graph& b) {
  std::vector<int64_t> dims = {2};
  const auto& shape = *a.value(a.inputs()[0]).shape;
  for (size_t i = 1; i < shape.size(); ++i) dims.push_back(shape[i].value);
  torch::manual_seed(5);
  const torch::Tensor x = torch::randn(dims);
  const torch::NoGradGuard no_grad;
  const auto run = [&x](const Graph& graph) {
    auto executor = runtime::Executor::Create(graph);
    EXPECT_TRUE(executor.ok()) << executor.status();
    auto outputs = (*executor)->Run({x});
    EXPECT_TRUE(outputs.ok()) << outputs.status();
    return (*outputs)[0];
  };
  const torch::Tensor ya = run(a);
  const torch::Tensor yb = run(b);
  EXPECT_EQ(ya.sizes(), yb.sizes());
  return ((ya - yb).abs().max() / ya.abs().max()).item<double>();
}

// Prunes to `share` of the multiply-accumulates by both ways.
void ExpectMaskEqualsCut(const Graph& graph, double share) {
  const Coupling coupling = FindCoupling(graph);
  const auto scores = ChannelImportance(graph, coupling, Criterion::kL2, 1);
  const double before = static_cast<double>(graph::CostOf(graph).macs);
  const Plan plan =
      MakePlan(graph, coupling, scores, {.limit = share * before});
  EXPECT_TRUE(plan.reached);
  Graph masked = graph;
  MaskChannels(coupling, plan.removed, &masked);
  Graph cut = graph;
  const absl::Status status = CutChannels(coupling, plan.removed, &cut);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_NEAR(static_cast<double>(graph::CostOf(cut).macs), plan.macs, 0.5);
  EXPECT_LE(static_cast<double>(graph::CostOf(cut).macs), share * before);
  EXPECT_GT(Difference(graph, cut), 1e-5) << "nothing was removed";
  EXPECT_LE(Difference(masked, cut), 1e-5);
}

TEST(CutTest, EqualsTheMaskThroughDepthwiseGroupedConcatAndFlatten) {
  Graph graph;
  const ValueId x = AddImage(&graph);
  const ValueId a = AddConv(&graph, "a", x, {8, 3, 3, 3});
  const ValueId d =
      AddConv(&graph, "d", AddOp(&graph, "Relu", {a}), {8, 1, 3, 3}, 8);
  const ValueId sum = AddOp(&graph, "Add", {a, d});
  const ValueId g = AddConv(&graph, "g", sum, {8, 4, 3, 3}, 2);
  const ValueId both =
      AddOp(&graph, "Concat", {g, sum}, {{"axis", int64_t{1}}});
  const ValueId flat = AddOp(&graph, "Flatten", {both}, {{"axis", int64_t{1}}});
  const ValueId w = graph.AddConstant("fc.w", Waves({1024, 5}, 1));
  graph.AddOutput(AddOp(&graph, "MatMul", {flat, w}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  ExpectMaskEqualsCut(graph, 0.6);
}

TEST(CutTest, PadAmountsFollowTheChannelsTheyAreAddedTo) {
  Graph graph;
  const ValueId a = AddConv(&graph, "a", AddImage(&graph), {4, 3, 1, 1});
  const ValueId pads = graph.AddConstant(
      "pads", graph::Tensor::Of<int64_t>(
                  {8}, std::vector<int64_t>{0, 2, 0, 0, 0, 2, 0, 0}));
  const ValueId wide = AddOp(&graph, "Pad", {a, pads});
  const ValueId b = AddConv(&graph, "b", a, {8, 4, 3, 3});
  const ValueId sum = AddOp(&graph, "Add", {wide, b});
  graph.AddOutput(AddConv(&graph, "c", sum, {2, 8, 1, 1}));
  ASSERT_TRUE(graph::InferShapes(graph).ok());
  ExpectMaskEqualsCut(graph, 0.5);
}

class SharedModelTest : public ::testing::TestWithParam<const char*> {};

TEST_P(SharedModelTest, CutEqualsMaskAtHalfOfTheMacs) {
  const std::string path =
      testing::SharedDir() + "/models/" + std::string(GetParam()) + ".onnx";
  if (testing::SharedDir().empty()) GTEST_SKIP() << "../shared is not here";
  auto graph = onnx_import::ImportOnnxFile(path);
  ASSERT_TRUE(graph.ok()) << graph.status();
  const bool mnist = std::string(GetParam()).find("mnist") == 0;
  ExpectMaskEqualsCut(*graph, mnist ? 0.6 : 0.5);
}

INSTANTIATE_TEST_SUITE_P(Models, SharedModelTest,
                         ::testing::Values("mnist_convnet_maxpool_op9",
                                           "cifar10_resnet2b_op9",
                                           "derived_resnet20_cifar10_op13",
                                           "mobilefacenet_op18"));

}  // namespace
}  // namespace condense::pruning
