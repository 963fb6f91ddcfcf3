#include "workers/engine/runtime/checkpointing.h"

#include "gtest/gtest.h"
#include "tests/testing/networks.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/sync_batch_norm.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using graph::ValueId;
using torch::Tensor;

std::unique_ptr<Executor> Make(const Graph& graph,
                               const ExecutorOptions& options) {
  auto executor = Executor::Create(graph, options);
  EXPECT_TRUE(executor.ok()) << executor.status();
  (*executor)->SetTraining(true);
  return *std::move(executor);
}

Tensor Images() {
  torch::manual_seed(3);
  return torch::randn({2, 3, 32, 32});
}

// Both after one step: gradients of every parameter, running statistics and
// the gradient of the input are the same to the last bit.
void ExpectSameStep(Executor* a, Executor* b) {
  Tensor xa = Images().requires_grad_(), xb = Images().requires_grad_();
  const Tensor ya = a->Forward({xa})[0], yb = b->Forward({xb})[0];
  ASSERT_TRUE(torch::equal(ya, yb));
  ya.pow(2).sum().backward();
  yb.pow(2).sum().backward();
  ASSERT_EQ(a->parameters().size(), b->parameters().size());
  for (size_t i = 0; i < a->parameters().size(); ++i) {
    EXPECT_TRUE(torch::equal(a->parameters()[i].tensor.grad(),
                             b->parameters()[i].tensor.grad()))
        << a->parameters()[i].name;
  }
  for (const auto& [name, tensor] : a->buffers()) {
    EXPECT_TRUE(torch::equal(tensor, b->buffers()[name])) << name;
  }
  EXPECT_TRUE(torch::equal(xa.grad(), xb.grad()));
}

TEST(CheckpointingTest, GradientsAndRunningStatisticsAreTheSameToTheLastBit) {
  const Graph graphs[] = {testing::ResNet20(),
                          testing::MobileNetV2(10, 32, false, 5)};
  for (const Graph& graph : graphs) {
    ASSERT_GT(PlanCuts(graph).size(), 2u);
    const auto plain = Make(graph, {});
    const auto cut = Make(graph, {.checkpoint_activations = true});
    ExpectSameStep(plain.get(), cut.get());
    // Once more: gradients add up, statistics move on.
    ExpectSameStep(plain.get(), cut.get());
  }
}

TEST(CheckpointingTest, SoTheyAreInChannelsLastAndBfloat16) {
  const Graph graph = testing::ResNet20();
  ExecutorOptions options = {.channels_last = true,
                             .precision = Precision::kBfloat16};
  const auto plain = Make(graph, options);
  options.checkpoint_activations = true;
  const auto cut = Make(graph, options);
  ExpectSameStep(plain.get(), cut.get());
}

TEST(CheckpointingTest, SoTheyAreWithTheStatisticsOfAllRanks) {
  const Graph graph = testing::ResNet20();
  const auto plain = Make(graph, {});
  const auto cut = Make(graph, {.checkpoint_activations = true});
  // Two ranks with the same batch.
  int sums = 0;
  const AddUp add_up = [&sums](const Tensor& tensor) {
    Tensor sum = tensor;
    sum.mul_(2);
    ++sums;
  };
  const SyncStatistics sync(&add_up);
  ExpectSameStep(plain.get(), cut.get());
  // 20 normalisations twice, forward and backward, and some forward again.
  EXPECT_GT(sums, 80);
}

TEST(CheckpointingTest, WithoutTrainingNothingIsCut) {
  const Graph graph = testing::ResNet20();
  const auto plain = Make(graph, {});
  const auto cut = Make(graph, {.checkpoint_activations = true});
  plain->SetTraining(false);
  cut->SetTraining(false);
  ExpectSameStep(plain.get(), cut.get());
}

TEST(CheckpointingTest, WhatIsObservedHasItsGradient) {
  const Graph graph = testing::ResNet20();
  const auto plain = Make(graph, {});
  const auto cut = Make(graph, {.checkpoint_activations = true});
  std::vector<Tensor> grads;
  for (Executor* executor : {plain.get(), cut.get()}) {
    // Values inside of segments, among them one that is written over.
    std::vector<Tensor> seen;
    executor->Observe(
        {graph.FindValue("BatchNormalization.y_2"),
         graph.FindValue("Relu.y_5")},
        [&](ValueId, const Tensor& value) { seen.push_back(value); });
    executor->Forward({Images()});
    ASSERT_EQ(seen.size(), 2u);
    (seen[0].pow(2).sum() + seen[1].pow(2).sum()).backward();
    grads.push_back(executor->parameters()[0].tensor.grad().clone());
  }
  EXPECT_GT(grads[0].abs().max().item<double>(), 0);
  EXPECT_TRUE(torch::equal(grads[0], grads[1]));
}

TEST(CheckpointingTest, AChainOfEqualLayersIsCutIntoAboutItsSquareRoot) {
  Graph graph;
  ValueId x = graph.AddInput("x", graph::DType::kFloat32, graph::Shape{1});
  for (int i = 0; i < 100; ++i) {
    x = graph.node(graph.AddNode("Sin", "", {x}, {"y"})).outputs[0];
  }
  graph.AddOutput(x);
  const std::vector<int> cuts = PlanCuts(graph);
  EXPECT_EQ(cuts.front(), 0);
  EXPECT_GE(cuts.size(), 8u);
  EXPECT_LE(cuts.size(), 13u);
}

TEST(CheckpointingTest, CutsAreWhereLittleIsAlive) {
  // Wide values of 64, with one of 1 after every fourth.
  Graph graph;
  ValueId x = graph.AddInput("x", graph::DType::kFloat32, graph::Shape{64});
  for (int i = 0; i < 40; ++i) {
    x = graph.node(graph.AddNode("Op", "", {x}, {"y"})).outputs[0];
    graph.mutable_value(x).shape = graph::Shape{i % 4 == 3 ? 1 : 64};
  }
  graph.AddOutput(x);
  const std::vector<int> cuts = PlanCuts(graph);
  ASSERT_GT(cuts.size(), 2u);
  for (int cut : cuts) EXPECT_EQ(cut % 4, 0);
}

}  // namespace
}  // namespace condense::runtime
