#include "workers/engine/quantization/incremental.h"

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/training/trainer.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Tensor;
using graph::ValueId;

// y = x w with the weight of one output channel, its quantizers placed.
Graph Placed(const std::vector<float>& w, const std::string& scheme, int bits) {
  Graph g;
  const int64_t size = static_cast<int64_t>(w.size());
  const ValueId x = g.AddInput("x", graph::DType::kFloat32,
                               graph::Shape{graph::Dim::Symbol("N"), size});
  g.AddOutput(Op(&g, "MatMul", "layer",
                 {x, g.AddConstant("w", Tensor::Of<float>({size, 1}, w))}));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  Numerics numerics = RuntimeNumerics();
  numerics.weight_scheme = scheme;
  numerics.weight_bits = bits;
  return PlaceQuantizers(g, numerics)->graph;
}

std::vector<float> WeightOf(const Graph& g) {
  return Floats(g, g.FindValue("w"));
}

void SetWeight(Graph* g, const std::vector<float>& w) {
  g->SetConstant(g->FindValue("w"),
                 Tensor::Of<float>({static_cast<int64_t>(w.size()), 1}, w));
}

bool Near(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::abs(a[i] - b[i]) > 1e-6) return false;
  }
  return a.size() == b.size();
}

TEST(FreezeShareTest, TheLargestWeightsMoveToTheirLevels) {
  // Levels -3 to 3 times 0.3.
  Graph g = Placed({0.9f, -0.5f, 0.1f, 0.2f, -0.8f, 0.05f, 0.4f, -0.3f},
                   "max_abs", 3);
  FreezeShare(&g, 0.5);
  EXPECT_TRUE(
      Near(WeightOf(g), {0.9f, -0.6f, 0.1f, 0.2f, -0.9f, 0.05f, 0.3f, -0.3f}));
  EXPECT_EQ(std::get<Tensor>(QuantizerInto(g, "layer", 1)->attrs.at("frozen"))
                .ToInts(),
            (std::vector<int64_t>{1, 1, 0, 0, 1, 0, 1, 0}));
  const std::vector<float> once = WeightOf(g);
  FreezeShare(&g, 0.5);
  EXPECT_EQ(WeightOf(g), once);
  FreezeShare(&g, 1);
  EXPECT_TRUE(Near(WeightOf(g), {0.9f, -0.6f, 0, 0.3f, -0.9f, 0, 0.3f, -0.3f}));
  EXPECT_FALSE(QuantizerInto(g, "layer", 1)->Has("frozen"));
}

TEST(FreezeShareTest, LevelsStayWhereTheyWereFoundThoughFreeWeightsGrow) {
  Graph g = Placed({0.9f, 0.3f, -0.2f, 0.1f}, "max_abs", 3);
  FreezeShare(&g, 0.25);
  SetWeight(&g, {0.9f, 2, -0.2f, 0.4f});
  FreezeShare(&g, 0.75);
  // The second is cut to the largest level, the third and smallest is free.
  EXPECT_TRUE(Near(WeightOf(g), {0.9f, 0.9f, -0.2f, 0.3f}));
}

TEST(FreezeShareTest, PowersOfTwoAreLevelsOfLog2AndScalesOfPowerOfTwo) {
  // Levels 0, 1, 2 and 4 times 0.2.
  Graph log2 = Placed({0.8f, -0.5f, 0.25f, 0.05f}, "log2", 3);
  FreezeShare(&log2, 1);
  EXPECT_TRUE(Near(WeightOf(log2), {0.8f, -0.4f, 0.2f, 0}));
  EXPECT_EQ(QuantizerInto(log2, "layer", 1)->String("scheme", "none"), "none");
  // 0.8 / 3 goes up to 1/2: levels -3 to 3 times 0.5.
  Graph power = Placed({0.8f, -0.5f, 0.2f, 0.3f}, "power_of_two", 3);
  FreezeShare(&power, 1);
  EXPECT_TRUE(Near(WeightOf(power), {1, -0.5f, 0, 0.5f}));
}

// Two layers with a share of their weights frozen, in training.
class FrozenWeightsTest : public testing::TestWithParam<int> {
 protected:
  training::TrainOptions Options() const {
    training::TrainOptions options;
    options.epochs = 2;
    options.optimizer.lr = 0.05;
    options.optimizer.weight_decay = 0.1;
    options.optimizer.kind =
        static_cast<training::OptimizerOptions::Kind>(GetParam());
    options.ema_decay = 0.5;
    return options;
  }
};

TEST_P(FrozenWeightsTest, NeitherMomentumNorDecayNorAveragesMoveThem) {
  Graph g = training::BarsNet(false);
  ASSERT_TRUE(graph::InferShapes(g).ok());
  Numerics numerics = RuntimeNumerics();
  numerics.weight_bits = 5;
  g = PlaceQuantizers(g, numerics)->graph;
  FreezeShare(&g, 0.5);
  const Graph trained = WithoutWeightQuantizers(g);
  EXPECT_EQ(Count(trained, "weight"), 0);
  auto executor = runtime::Executor::Create(WithoutQuantizers(trained));
  ASSERT_TRUE(executor.ok()) << executor.status();
  const training::Bars data(64);
  data::Loader loader(&data, training::BarsOptions(true));
  training::Trainer trainer(executor->get(), &loader,
                            training::CrossEntropyLoss, Options());
  FrozenWeights frozen(g, executor->get());
  trainer.BeforeStep([&] { frozen.Hold(); });
  const auto done = trainer.Run(
      [](const training::StepInfo&) { return training::Next::kGoOn; });
  ASSERT_TRUE(done.ok()) << done.status();
  Graph after = g;
  ASSERT_TRUE((*executor)->StoreTo(&after).ok());
  for (const char* name : {"conv.w", "head.w"}) {
    const auto before = Floats(g, g.FindValue(name));
    const auto now = Floats(after, after.FindValue(name));
    const std::string layer = std::string(name).substr(0, 4);
    const auto mask =
        std::get<Tensor>(QuantizerInto(g, layer, 1)->attrs.at("frozen"))
            .ToInts();
    int moved = 0;
    for (size_t i = 0; i < now.size(); ++i) {
      if (mask[i] != 0) {
        EXPECT_EQ(now[i], before[i]) << name << " " << i;
      } else {
        moved += now[i] != before[i];
      }
    }
    EXPECT_GT(moved, static_cast<int>(now.size()) / 3) << name;
  }
}
INSTANTIATE_TEST_SUITE_P(Optimizers, FrozenWeightsTest,
                         testing::Values(0, 1, 2));

TEST(FrozenWeightsTest, TheirGradientsDoNotCountForClipping) {
  Graph g = Placed({0.9f, 0.1f}, "max_abs", 3);
  FreezeShare(&g, 0.5);
  auto executor =
      runtime::Executor::Create(WithoutQuantizers(WithoutWeightQuantizers(g)));
  ASSERT_TRUE(executor.ok()) << executor.status();
  const FrozenWeights frozen(g, executor->get());
  (*executor)->Forward({torch::tensor({{3.0f, 4.0f}})})[0].sum().backward();
  const torch::Tensor gradient = (*executor)->parameters()[0].tensor.grad();
  EXPECT_TRUE(torch::equal(gradient, torch::tensor({{0.0f}, {4.0f}})));
}

}  // namespace
}  // namespace condense::quantization
