#include "workers/engine/runtime/precision.h"

#include "gtest/gtest.h"
#include "tests/testing/networks.h"
#include "workers/engine/runtime/clamp.h"
#include "workers/engine/runtime/executor.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using torch::Tensor;

std::unique_ptr<Executor> Make(const Graph& graph,
                               const ExecutorOptions& options) {
  auto executor = Executor::Create(graph, options);
  EXPECT_TRUE(executor.ok()) << executor.status();
  return *std::move(executor);
}

// Losses of plain gradient descent on four fixed images.
std::vector<double> LossCurve(const Graph& graph,
                              const ExecutorOptions& options, int steps) {
  const auto executor = Make(graph, options);
  executor->SetTraining(true);
  torch::manual_seed(7);
  const Tensor x = torch::randn({8, 3, 32, 32});
  const Tensor labels = torch::arange(8, torch::kInt64) % 10;
  std::vector<double> losses;
  for (int i = 0; i < steps; ++i) {
    const Tensor y = executor->Forward({x})[0];
    EXPECT_EQ(y.scalar_type(), torch::kFloat32);
    const Tensor loss = at::nll_loss(at::log_softmax(y, 1), labels);
    losses.push_back(loss.item<double>());
    loss.backward();
    const torch::NoGradGuard no_grad;
    for (Parameter& p : executor->parameters()) {
      EXPECT_EQ(p.tensor.grad().scalar_type(), torch::kFloat32) << p.name;
      p.tensor.sub_(p.tensor.grad(), 0.05);
      p.tensor.mutable_grad() = Tensor();
    }
  }
  return losses;
}

// In bfloat16 the loss falls as it does in float32, activations that LibTorch
// 1.13 cannot differentiate there included.
void ExpectCloseCurves(const Graph& graph) {
  constexpr int kSteps = 10;
  const std::vector<double> whole = LossCurve(graph, {}, kSteps);
  const std::vector<double> low =
      LossCurve(graph, {.precision = Precision::kBfloat16}, kSteps);
  EXPECT_LT(whole.back(), 0.7 * whole.front());
  EXPECT_NEAR(low.front(), whole.front(), 0.05 * whole.front());
  for (int i = 0; i < kSteps; ++i) {
    EXPECT_NEAR(low[i], whole[i], 0.15 * whole.front()) << "step " << i;
  }
  EXPECT_NE(low, whole);
}

TEST(PrecisionTest, NetworksOfHardActivationsTrainInBfloat16) {
  ExpectCloseCurves(testing::MobileNetV2(10, 32, false, 4));
  ExpectCloseCurves(testing::MobileNetV2(10, 32, true, 4));
}

TEST(PrecisionTest, ResidualNetworksTrainInBfloat16) {
  ExpectCloseCurves(testing::ResNet20());
}

TEST(PrecisionTest, ChannelsLastGivesTheSameNumbersToRounding) {
  const std::vector<double> a = LossCurve(testing::ResNet20(), {}, 3);
  const std::vector<double> b =
      LossCurve(testing::ResNet20(), {.channels_last = true}, 3);
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-3);
}

TEST(PrecisionTest, ConvolutionsAreLowAndLossesFloat) {
  Graph graph;
  graph::Node node;
  for (const auto& [op, policy] :
       std::initializer_list<std::pair<const char*, CastPolicy>>{
           {"Conv", CastPolicy::kLow},
           {"MatMul", CastPolicy::kLow},
           {"Relu", CastPolicy::kFollow},
           {"BatchNormalization", CastPolicy::kKeep},
           {"Softmax", CastPolicy::kFloat},
           {"ReduceMean", CastPolicy::kFloat},
           {"SoftmaxCrossEntropyLoss", CastPolicy::kFloat}}) {
    node.op = op;
    EXPECT_EQ(CastPolicyOf(node), policy) << op;
  }
  node.op = "FakeQuantize";
  node.domain = "condense";
  EXPECT_EQ(CastPolicyOf(node), CastPolicy::kFloat);
}

TEST(PrecisionTest, ConstantsFollowActivationsOnly) {
  const Tensor low = torch::ones({2}, torch::kBFloat16);
  const Tensor whole = torch::ones({2});
  std::vector<Tensor> arguments = {low, whole, whole};
  CastArguments(CastPolicy::kFollow, torch::kBFloat16, {false, true, false},
                &arguments);
  EXPECT_EQ(arguments[1].scalar_type(), torch::kBFloat16);
  EXPECT_EQ(arguments[2].scalar_type(), torch::kFloat32);
  arguments = {whole, whole};
  CastArguments(CastPolicy::kFollow, torch::kBFloat16, {false, true},
                &arguments);
  EXPECT_EQ(arguments[1].scalar_type(), torch::kFloat32);
}

TEST(PrecisionTest, ClampPassesGradientsStrictlyBetweenItsBounds) {
  for (torch::ScalarType type : {torch::kFloat32, torch::kBFloat16}) {
    for (bool in_place : {false, true}) {
      Tensor x = torch::tensor({-1.0f, 0.0f, 2.0f, 6.0f, 7.0f})
                     .to(type)
                     .requires_grad_();
      const Tensor y = Clamp(x * 1, 0, 6, in_place);
      y.sum().backward();
      const auto as_floats = [](const Tensor& t) {
        return t.detach().to(torch::kFloat32);
      };
      EXPECT_TRUE(torch::equal(as_floats(y),
                               torch::tensor({0.0f, 0.0f, 2.0f, 6.0f, 6.0f})));
      EXPECT_TRUE(torch::equal(as_floats(x.grad()),
                               torch::tensor({0.0f, 0.0f, 1.0f, 0.0f, 0.0f})));
    }
  }
}

}  // namespace
}  // namespace condense::runtime
