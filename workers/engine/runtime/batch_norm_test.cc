// BatchNormalization in training against values computed by hand and against
// LibTorch, as ONNX 15 defines it with PyTorch's unbiased running variance.

#include "gtest/gtest.h"
#include "workers/engine/runtime/executor.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using torch::Tensor;

struct Norm {
  std::unique_ptr<Executor> executor;
  Tensor mean() const { return executor->buffers()["mean"]; }
  Tensor variance() const { return executor->buffers()["var"]; }
};

// Scale 2, shift 1, running mean 4 and variance 3, momentum 0.75.
Norm OneChannel(std::vector<int64_t> shape, const ExecutorOptions& options = {},
                int identities = 0, float epsilon = 0) {
  Graph graph;
  graph::ValueId x = graph.AddInput("x", graph::DType::kFloat32,
                                    graph::Shape(shape.begin(), shape.end()));
  const auto constant = [&](const char* name, float value) {
    return graph.AddConstant(
        name, graph::Tensor::Of<float>({1}, std::vector<float>{value}));
  };
  for (int i = 0; i < identities; ++i) {
    x = graph.node(graph.AddNode("Identity", "", {x}, {"i"})).outputs[0];
  }
  const auto node =
      graph.AddNode("BatchNormalization", "bn",
                    {x, constant("scale", 2), constant("shift", 1),
                     constant("mean", 4), constant("var", 3)},
                    {"y"}, {{"momentum", 0.75f}, {"epsilon", epsilon}});
  graph::ValueId y = graph.node(node).outputs[0];
  for (int i = 0; i < identities; ++i) {
    y = graph.node(graph.AddNode("Identity", "", {y}, {"i"})).outputs[0];
  }
  graph.AddOutput(y);
  auto executor = Executor::Create(graph, options);
  EXPECT_TRUE(executor.ok()) << executor.status();
  (*executor)->SetTraining(true);
  return Norm{*std::move(executor)};
}

void ExpectHandComputed(const Norm& norm, const Tensor& y) {
  // Of 1, 2, 3, 6: mean 3, biased variance 3.5, unbiased 14 / 3.
  EXPECT_NEAR(norm.mean().item<double>(), 0.75 * 4 + 0.25 * 3, 1e-6);
  EXPECT_NEAR(norm.variance().item<double>(), 0.75 * 3 + 0.25 * 14 / 3, 1e-6);
  const Tensor flat = y.detach().flatten();
  const double sigma = std::sqrt(3.5);
  const double x[] = {1, 2, 3, 6};
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(flat[i].item<double>(), 2 * (x[i] - 3) / sigma + 1, 1e-5);
  }
}

Tensor Values(std::vector<int64_t> shape) {
  return torch::tensor({1.0f, 2.0f, 3.0f, 6.0f}).reshape(shape);
}

TEST(BatchNormTest, NormalisesByTheBatchAndAveragesItsUnbiasedVariance) {
  // Over batch and space, over the batch alone at one pixel, and over space
  // alone in a batch of one.
  for (const std::vector<int64_t>& shape :
       {std::vector<int64_t>{2, 1, 1, 2}, {4, 1, 1, 1}, {1, 1, 2, 2}, {4, 1}}) {
    const Norm norm = OneChannel(shape);
    ExpectHandComputed(norm, norm.executor->Forward({Values(shape)})[0]);
  }
}

TEST(BatchNormTest, OutsideOfTrainingItUsesTheRunningStatistics) {
  const Norm norm = OneChannel({4, 1, 1, 1});
  norm.executor->SetTraining(false);
  const Tensor y = norm.executor->Forward({Values({4, 1, 1, 1})})[0];
  EXPECT_NEAR(y.flatten()[3].item<double>(), 2 * (6 - 4) / std::sqrt(3.0) + 1,
              1e-5);
  EXPECT_EQ(norm.mean().item<float>(), 4);
  EXPECT_EQ(norm.variance().item<float>(), 3);
}

TEST(BatchNormTest, AReplayForGradientsCountsTheBatchOnce) {
  const Norm norm = OneChannel({2, 1, 1, 2}, {.checkpoint_activations = true},
                               /*identities=*/8);
  Tensor x = Values({2, 1, 1, 2}).requires_grad_();
  const Tensor y = norm.executor->Forward({x})[0];
  y.pow(2).sum().backward();
  EXPECT_TRUE(x.grad().defined());
  ExpectHandComputed(norm, y);
}

TEST(BatchNormTest, InBfloat16StatisticsStayFloat) {
  // The values are exact in bfloat16, so are the statistics.
  const Norm norm =
      OneChannel({2, 1, 1, 2}, {.precision = Precision::kBfloat16});
  ExpectHandComputed(norm, norm.executor->Forward({Values({2, 1, 1, 2})})[0]);
  EXPECT_EQ(norm.mean().scalar_type(), torch::kFloat32);
}

TEST(BatchNormTest, StepsAreLibTorchs) {
  torch::manual_seed(5);
  const Norm norm = OneChannel({4, 1, 3, 3});
  Tensor mean = torch::full({1}, 4.0f), variance = torch::full({1}, 3.0f);
  for (int i = 0; i < 3; ++i) {
    const Tensor x = torch::randn({4, 1, 3, 3});
    const Tensor wanted =
        at::batch_norm(x, torch::full({1}, 2.0f), torch::ones({1}), mean,
                       variance, true, 0.25, 0.0, false);
    EXPECT_TRUE(torch::allclose(norm.executor->Forward({x})[0], wanted));
  }
  EXPECT_TRUE(torch::allclose(norm.mean(), mean));
  EXPECT_TRUE(torch::allclose(norm.variance(), variance));
}

TEST(BatchNormTest, OneValuePerChannelLeavesTheRunningStatistics) {
  const Norm norm = OneChannel({1, 1, 1, 1}, {}, 0, /*epsilon=*/1e-5f);
  const Tensor y = norm.executor->Forward({torch::full({1, 1, 1, 1}, 9.0f)})[0];
  EXPECT_EQ(y.item<float>(), 1);
  EXPECT_EQ(norm.mean().item<float>(), 4);
  EXPECT_EQ(norm.variance().item<float>(), 3);
}

}  // namespace
}  // namespace condense::runtime
