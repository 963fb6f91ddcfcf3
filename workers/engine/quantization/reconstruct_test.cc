#include "workers/engine/quantization/reconstruct.h"

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/quantization/blocks.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::ValueId;

torch::Tensor Output(const Graph& g, const torch::Tensor& x) {
  const torch::NoGradGuard no_grad;
  return runtime::Executor::Create(g).value()->Run({x}).value()[0];
}

// Conv "a", then a residual block of "bb" and "ccc", then Conv "dddd"; 3-bit
// weights.
Graph Residual(data::Loader* loader) {
  Graph g;
  const ValueId x = Op(&g, "Relu", "r1", {Conv(&g, "a", Image(&g, 1), 1, 4)});
  const ValueId y = Op(&g, "Relu", "r2", {Conv(&g, "bb", x, 4, 4)});
  const ValueId sum = Op(&g, "Relu", "r3",
                         {Op(&g, "Add", "add", {Conv(&g, "ccc", y, 4, 4), x})});
  g.AddOutput(Conv(&g, "dddd", sum, 4, 3));
  Numerics numerics = RuntimeNumerics();
  numerics.weight_bits = 3;
  auto placement = PlaceQuantizers(g, numerics);
  EXPECT_TRUE(placement.ok()) << placement.status();
  EXPECT_TRUE(Calibrate(&placement->graph, loader, {}, nullptr).ok());
  return std::move(placement->graph);
}

class ReconstructTest : public ::testing::Test {
 protected:
  const training::Bars data_{64};
  data::Loader loader_{&data_, training::BarsOptions(false)};
};

TEST_F(ReconstructTest, BlocksEndWhereOneValueIsAlive) {
  const Graph g = Residual(&loader_);
  const std::vector<Block> blocks = FindBlocks(g);
  ASSERT_EQ(blocks.size(), 3u);
  EXPECT_EQ(blocks[0].input, g.inputs()[0]);
  EXPECT_EQ(blocks[0].layers.size(), 1u);
  EXPECT_EQ(blocks[1].layers.size(), 2u);
  EXPECT_EQ(blocks[2].output, g.outputs()[0]);
  for (size_t i = 1; i < 3; ++i) {
    EXPECT_EQ(blocks[i].input, blocks[i - 1].output);
  }
}

TEST_F(ReconstructTest, BlocksOneAfterAnotherAreTheWholeModel) {
  const Graph g = Residual(&loader_);
  const torch::Tensor images = TakeSamples(&loader_, 8).value();
  torch::Tensor x = images;
  for (const Block& block : FindBlocks(g)) {
    x = Output(SubGraph(g, {block.input}, block.output), x);
  }
  EXPECT_TRUE(at::equal(x, Output(g, images)));
}

TEST_F(ReconstructTest, LosesLessThanTheNearestLevelsByLayerByBlockAndDropped) {
  const torch::Tensor x = TakeSamples(&loader_, 64).value();
  const Graph nearest = Residual(&loader_);
  const torch::Tensor exact = Output(WithoutQuantizers(nearest), x);
  const auto lost = [&](const Graph& g) {
    return (Output(g, x) - exact).square().mean().item<double>();
  };
  ReconstructOptions options;
  options.iterations = 200;
  options.batch_size = 16;
  for (const auto& [blocks, drop] :
       {std::pair<bool, double>{false, 0}, {true, 0}, {true, 0.5}}) {
    Graph g = nearest;
    options.blocks = blocks;
    options.drop = drop;
    ASSERT_TRUE(Reconstruct(&g, &loader_, options).ok());
    EXPECT_LT(lost(g), 0.6 * lost(nearest)) << blocks << " " << drop;
  }
}

TEST_F(ReconstructTest, TheSameSeedGivesTheSameWeightsAllUpOrDownByOneLevel) {
  ReconstructOptions options;
  options.iterations = 20;
  options.blocks = true;
  options.drop = 0.5;
  const Graph nearest = Residual(&loader_);
  std::vector<float> first;
  for (int run = 0; run < 2; ++run) {
    Graph g = nearest;
    ASSERT_TRUE(Reconstruct(&g, &loader_, options).ok());
    const std::vector<float> weights = Floats(g, g.FindValue("bb.w"));
    if (run == 0) first = weights;
    EXPECT_EQ(weights, first);
  }
  const std::vector<float> floats = Floats(nearest, nearest.FindValue("bb.w"));
  const std::vector<float> scales =
      Floats(nearest, nearest.FindValue("bb.w.scale"));
  for (size_t i = 0; i < first.size(); ++i) {
    const float scale = scales[i * scales.size() / first.size()];
    EXPECT_LE(std::abs(first[i] - floats[i]), 1.001f * scale);
  }
}

}  // namespace
}  // namespace condense::quantization
