#include "workers/engine/quantization/smooth_quant.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Tensor;
using graph::ValueId;

// LayerNormalization over 4 channels, MatMul "up" 4 -> 6, Add of a bias, Relu,
// MatMul "down" 6 -> 2.
Graph Tokens() {
  Graph g;
  const ValueId x = g.AddInput("x", graph::DType::kFloat32,
                               graph::Shape{graph::Dim::Symbol("N"), 5, 4});
  ValueId y = Op(&g, "LayerNormalization", "norm",
                 {x, g.AddConstant("gamma", training::Filled({4}, 1, 3)),
                  g.AddConstant("beta", training::Filled({4}, 2))},
                 {{"axis", int64_t{-1}}});
  y = Op(&g, "MatMul", "up",
         {y, g.AddConstant("up.w", training::Filled({4, 6}, 3))});
  y = Op(&g, "Add", "bias",
         {y, g.AddConstant("up.b", training::Filled({6}, 4))});
  y = Op(&g, "Relu", "relu", {y});
  g.AddOutput(Op(&g, "MatMul", "down",
                 {y, g.AddConstant("down.w", training::Filled({6, 2}, 5))}));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

TEST(SmoothQuantTest, FindsWhatNormalisationsAndLinearLayersMake) {
  const Graph g = Tokens();
  const std::vector<SmoothSite> sites = FindSmoothSites(g);
  ASSERT_EQ(sites.size(), 2u);
  EXPECT_EQ(g.node(sites[0].maker).name, "norm");
  EXPECT_EQ(g.node(sites[1].maker).name, "up");
  EXPECT_THAT(sites[1].shifts, ::testing::ElementsAre(g.FindValue("up.b")));
}

TEST(SmoothQuantTest, WhoReadsTheShapeAloneDoesNotCount) {
  Graph g = Tokens();
  for (const char* name : {"norm", "up"}) {
    const ValueId value = g.node(g.FindNode(name)).outputs[0];
    g.AddOutput(Op(&g, "Shape", absl::StrCat(name, ".shape"), {value}));
  }
  ASSERT_TRUE(graph::InferShapes(g).ok());
  EXPECT_EQ(FindSmoothSites(g).size(), 2u);
  // What else reads it would see the factors.
  g.AddOutput(Op(&g, "Relu", "else", {g.node(g.FindNode("norm")).outputs[0]}));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  const std::vector<SmoothSite> sites = FindSmoothSites(g);
  ASSERT_EQ(sites.size(), 1u);
  EXPECT_EQ(g.node(sites[0].maker).name, "up");
}

TEST(SmoothQuantTest, OutliersReachEightTimesAsFarAsTheMedianChannel) {
  ChannelStatistics seen;
  seen.low = {-1, -2, 0, -3};
  seen.high = {0.5f, 1, 1, 2};
  // Reach 1, 2, 1, 3: the upper median is 2.
  EXPECT_FALSE(HasOutliers(seen));
  seen.low[3] = -15.9f;
  EXPECT_FALSE(HasOutliers(seen));
  seen.low[3] = -16;
  EXPECT_TRUE(HasOutliers(seen));
  EXPECT_FALSE(HasOutliers(ChannelStatistics()));
}

TEST(SmoothQuantTest, FactorsAreThoseOfThePaperAndTheFunctionStays) {
  Graph g = Tokens();
  torch::manual_seed(3);
  const torch::Tensor x = torch::randn({3, 5, 4});
  const torch::NoGradGuard no_grad;
  const torch::Tensor before =
      runtime::Executor::Create(g).value()->Run({x}).value()[0];
  const std::vector<SmoothSite> sites = FindSmoothSites(g);
  std::map<ValueId, ChannelStatistics> seen;
  seen[sites[0].input] = {{-16, 0, -1, 0}, {1, 4, 1, 1}, {}};
  seen[sites[1].input] = {
      std::vector<float>(6, 0), std::vector<float>(6, 9), {}};
  const std::vector<float> gamma = Floats(g, g.FindValue("gamma"));
  const std::vector<float> weight = Floats(g, g.FindValue("up.w"));
  float most = 0;
  for (int o = 0; o < 6; ++o) most = std::max(most, std::abs(weight[o]));
  EXPECT_EQ(SmoothActivations(sites, seen, 0.5, &g), 2);
  // s_0 = sqrt(16 / max|W_0|).
  EXPECT_NEAR(Floats(g, g.FindValue("gamma"))[0],
              gamma[0] / std::sqrt(16 / most), 1e-5);
  const torch::Tensor after =
      runtime::Executor::Create(g).value()->Run({x}).value()[0];
  EXPECT_TRUE(at::allclose(after, before, 1e-4, 1e-5));
}

}  // namespace
}  // namespace condense::quantization
