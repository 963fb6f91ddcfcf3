#include "workers/engine/runtime/executor.h"

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/graph/text.h"

namespace condense::runtime {
namespace {

using graph::DType;
using graph::Graph;
using graph::ValueId;

graph::Tensor Random(std::vector<int64_t> dims, uint64_t seed,
                     double low = -0.5, double high = 0.5) {
  torch::manual_seed(seed);
  return FromTorch(torch::rand(dims) * (high - low) + low);
}

ValueId Add(Graph* graph, const std::string& op, std::vector<ValueId> inputs,
            std::map<std::string, graph::Attribute> attrs = {}) {
  return graph
      ->node(graph->AddNode(op, "", std::move(inputs), {op + "_y"},
                            std::move(attrs)))
      .outputs[0];
}

// Conv, normalisation, Relu, a residual addition, pooling and a linear layer.
Graph SmallNet() {
  Graph g;
  const ValueId x = g.AddInput("x", DType::kFloat32,
                               graph::Shape{graph::Dim::Symbol("N"), 3, 6, 6});
  const ValueId w = g.AddConstant("conv.w", Random({4, 3, 3, 3}, 1));
  const ValueId b = g.AddConstant("conv.b", Random({4}, 2));
  const ValueId conv =
      Add(&g, "Conv", {x, w, b}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  const ValueId bn = Add(&g, "BatchNormalization",
                         {conv, g.AddConstant("bn.scale", Random({4}, 3)),
                          g.AddConstant("bn.bias", Random({4}, 4)),
                          g.AddConstant("bn.mean", Random({4}, 5)),
                          g.AddConstant("bn.var", Random({4}, 6, 0.5, 2))},
                         {{"epsilon", 1e-5f}, {"momentum", 0.9f}});
  const ValueId relu = Add(&g, "Relu", {bn});
  const ValueId sum = Add(&g, "Add", {relu, conv});
  const ValueId flat = Add(&g, "Flatten", {Add(&g, "GlobalAveragePool", {sum})},
                           {{"axis", int64_t{1}}});
  const ValueId fc = g.AddConstant("fc.w", Random({5, 4}, 7));
  const ValueId fb = g.AddConstant("fc.b", Random({5}, 8));
  g.AddOutput(Add(&g, "Gemm", {flat, fc, fb}, {{"transB", int64_t{1}}}));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

std::unique_ptr<Executor> Make(const Graph& graph) {
  auto executor = Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  return *std::move(executor);
}

torch::Tensor Images() {
  torch::manual_seed(9);
  return torch::randn({4, 3, 6, 6});
}

TEST(ExecutorTest, TrainsWeightsBiasesAndNormalisation) {
  auto executor = Make(SmallNet());
  std::map<std::string, ParameterKind> kinds;
  for (const Parameter& p : executor->parameters()) kinds[p.name] = p.kind;
  EXPECT_EQ(kinds.size(), 6u);
  EXPECT_EQ(kinds.at("conv.w"), ParameterKind::kWeight);
  EXPECT_EQ(kinds.at("fc.b"), ParameterKind::kBias);
  EXPECT_EQ(kinds.at("bn.scale"), ParameterKind::kNorm);
  EXPECT_EQ(executor->buffers().count("bn.mean"), 1u);
}

TEST(ExecutorTest, GradientsAreThoseOfFiniteDifferences) {
  auto executor = Make(SmallNet());
  executor->SetTraining(true);
  const torch::Tensor x = Images();
  const auto loss = [&] {
    const torch::Tensor y = executor->Forward({x})[0];
    return (y * y).sum() + y.sum();
  };
  loss().backward();
  int checked = 0;
  for (Parameter& p : executor->parameters()) {
    const torch::Tensor grad = p.tensor.grad().clone();
    for (int64_t i = 0; i < p.tensor.numel(); i += 7) {
      const torch::NoGradGuard no_grad;
      float* value = p.tensor.data_ptr<float>() + i;
      const float before = *value;
      const float step = 1e-2f;
      *value = before + step;
      const double up = loss().item<double>();
      *value = before - step;
      const double down = loss().item<double>();
      *value = before;
      const double numeric = (up - down) / (2 * step);
      const double exact = grad.flatten()[i].item<double>();
      EXPECT_NEAR(exact, numeric, 2e-2 * std::max(1.0, std::abs(numeric)))
          << p.name << "[" << i << "]";
      ++checked;
    }
  }
  EXPECT_GE(checked, 20);
}

TEST(ExecutorTest, NormalisationKeepsRunningStatisticsAsPyTorchDoes) {
  auto executor = Make(SmallNet());
  executor->SetTraining(true);
  const graph::Tensor mean_before = FromTorch(executor->buffers()["bn.mean"]);
  torch::Tensor conv;
  const Graph graph = SmallNet();
  executor->Observe({graph.FindValue("Conv_y")},
                    [&](ValueId, const torch::Tensor& v) { conv = v.clone(); });
  executor->Forward({Images()});
  const torch::Tensor batch_mean = conv.mean({0, 2, 3});
  const torch::Tensor batch_var = conv.var({0, 2, 3}, /*unbiased=*/true);
  const torch::Tensor mean =
      *ToTorch(mean_before) * 0.9 + batch_mean.detach() * 0.1;
  const torch::Tensor var =
      *ToTorch(*graph.ConstantOf(graph.FindValue("bn.var"))) * 0.9 +
      batch_var.detach() * 0.1;
  EXPECT_LT((executor->buffers()["bn.mean"] - mean).abs().max().item<double>(),
            1e-6);
  EXPECT_LT((executor->buffers()["bn.var"] - var).abs().max().item<double>(),
            1e-6);
}

TEST(ExecutorTest, FoldedNormalisationComputesTheSame) {
  Graph graph = SmallNet();
  // The residual reads the convolution itself: nothing may be folded.
  const auto kept = graph::FoldBatchNorm().Run(graph);
  ASSERT_TRUE(kept.ok());
  EXPECT_FALSE(*kept);
  // Without the residual it folds, and only once.
  const ValueId relu = graph.FindValue("Relu_y");
  graph.ReplaceUses(graph.FindValue("Add_y"), relu);
  graph.RemoveNode(graph.value(graph.FindValue("Add_y")).producer);
  graph.RemoveDeadValues();
  const torch::Tensor before = (*Make(graph)->Run({Images()}))[0];
  ASSERT_TRUE(*graph::FoldBatchNorm().Run(graph));
  const std::string text = graph::ToText(graph);
  EXPECT_EQ(text.find("= BatchNormalization("), std::string::npos);
  EXPECT_FALSE(*graph::FoldBatchNorm().Run(graph));
  EXPECT_EQ(graph::ToText(graph), text);
  const torch::Tensor after = (*Make(graph)->Run({Images()}))[0];
  EXPECT_LT((before - after).abs().max().item<double>(), 1e-5);
}

TEST(ExecutorTest, WhatWasTrainedIsStoredByName) {
  Graph graph = SmallNet();
  auto executor = Make(graph);
  {
    const torch::NoGradGuard no_grad;
    for (Parameter& p : executor->parameters()) p.tensor.add_(1);
  }
  ASSERT_TRUE(executor->StoreTo(&graph).ok());
  const float before =
      SmallNet().ConstantOf(SmallNet().FindValue("fc.b"))->ToFloats()[2];
  EXPECT_FLOAT_EQ(graph.ConstantOf(graph.FindValue("fc.b"))->ToFloats()[2],
                  before + 1);
  const torch::Tensor a = (*executor->Run({Images()}))[0];
  const torch::Tensor b = (*Make(graph)->Run({Images()}))[0];
  EXPECT_TRUE(torch::equal(a, b));
}

TEST(ExecutorTest, WhatIsWrittenOverIsReadByNothingElse) {
  // Add reads the input, which others may hold, on its left and the sum of a
  // product on its right; Relu writes over that sum.
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, graph::Shape{2, 2});
  const ValueId w = graph.AddConstant("w", Random({2, 2}, 3));
  const ValueId product = Add(&graph, "MatMul", {x, w});
  const ValueId sum = Add(&graph, "Add", {x, product});
  const ValueId relu = Add(&graph, "Relu", {sum});
  const ValueId scaled = Add(&graph, "Add", {relu, relu});
  graph.AddOutput(scaled);
  auto executor = Make(graph);
  torch::manual_seed(4);
  const torch::Tensor input = torch::randn({2, 2});
  const torch::Tensor kept = input.clone();
  const torch::Tensor weight = executor->ConstantTensor(w).detach();
  const torch::Tensor wanted = 2 * at::relu(kept + kept.matmul(weight));
  EXPECT_TRUE(torch::allclose(executor->Forward({input})[0], wanted));
  EXPECT_TRUE(torch::equal(input, kept));
  // What is observed keeps its values.
  std::vector<torch::Tensor> seen;
  executor->Observe({product, sum}, [&](ValueId, const torch::Tensor& value) {
    seen.push_back(value);
  });
  executor->Forward({input});
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_TRUE(torch::allclose(seen[0], kept.matmul(weight)));
  EXPECT_TRUE(torch::allclose(seen[1], kept + kept.matmul(weight)));
}

TEST(ExecutorTest, AFailedRunLeavesNothingBehind) {
  auto executor = Make(SmallNet());
  torch::Tensor bad = torch::randn({1, 2, 6, 6});
  EXPECT_FALSE(executor->Run({bad}).ok());
  EXPECT_EQ(bad.use_count(), 1u);
}

TEST(ExecutorTest, AnOperatorWithoutKernelIsNamed) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, graph::Shape{1, 2, 2});
  graph.AddNode("NoSuchOperator", "the node", {x}, {"y"});
  graph.AddOutput(graph.FindValue("y"));
  const absl::Status status = Executor::Create(graph).status();
  EXPECT_EQ(ErrorReason(status), "NO_KERNEL");
  EXPECT_EQ(ErrorDetailOf(status).node, "the node");
}

TEST(ExecutorTest, AnInputOfTheWrongShapeIsAnErrorNotACrash) {
  auto executor = Make(SmallNet());
  const auto result = executor->Run({torch::randn({1, 2, 6, 6})});
  EXPECT_EQ(ErrorReason(result.status()), "RUNTIME_ERROR");
}

}  // namespace
}  // namespace condense::runtime
