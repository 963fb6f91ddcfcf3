#include "workers/engine/quantization/pixel_grid.h"

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::ValueId;

const PixelScaling kScaling = {1.0 / 255, {0.485, 0.4}, {0.229, 0.3}};

Graph Net() {
  Graph g;
  g.AddOutput(Op(&g, "Relu", "relu", {Conv(&g, "a", Image(&g, 2), 2, 3)}));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

// Pixels as the model takes them.
torch::Tensor Images() {
  torch::manual_seed(3);
  const torch::Tensor pixels = torch::randint(0, 256, {4, 2, 6, 6});
  const torch::Tensor mean = torch::tensor({0.485f, 0.4f}).view({2, 1, 1});
  const torch::Tensor std = torch::tensor({0.229f, 0.3f}).view({2, 1, 1});
  return (pixels / 255 - mean) / std;
}

TEST(PixelGridTest, TheFunctionStaysAndTheInputsLevelsAreThePixels) {
  Graph g = Net();
  const torch::NoGradGuard no_grad;
  const torch::Tensor before =
      runtime::Executor::Create(g).value()->Run({Images()}).value()[0];
  const auto grid = AlignInputToPixels(kScaling, &g);
  ASSERT_TRUE(grid.ok()) << grid.status();
  ASSERT_NE(grid->value, graph::kNoValue);
  // (.485 + .4) / 2 * 255 = 112.8.
  EXPECT_EQ(grid->grid.zero_point, 113);
  EXPECT_EQ(grid->grid.scale, 1);
  auto executor = runtime::Executor::Create(g).value();
  executor->Observe({grid->value}, [](ValueId, const torch::Tensor& value) {
    // The padding in front of the convolution is no pixel.
    const torch::Tensor inside = value.slice(2, 1, 7).slice(3, 1, 7);
    EXPECT_LT((inside - inside.round()).abs().max().item<float>(), 1e-3);
    EXPECT_GE(inside.min().item<float>(), -113.001);
    EXPECT_LE(inside.max().item<float>(), 142.001);
  });
  EXPECT_TRUE(
      at::allclose(executor->Run({Images()}).value()[0], before, 1e-4, 1e-4));
}

TEST(PixelGridTest, OneScalingForAllChannelsNeedsNoNodes) {
  Graph g = Net();
  const size_t nodes = g.order().size();
  const auto grid = AlignInputToPixels({1.0 / 255, {0}, {0.5}}, &g);
  ASSERT_TRUE(grid.ok());
  EXPECT_EQ(grid->value, g.inputs()[0]);
  EXPECT_FLOAT_EQ(grid->grid.scale, 2 / 255.0f);
  EXPECT_EQ(grid->grid.zero_point, 0);
  EXPECT_EQ(g.order().size(), nodes);
}

TEST(PixelGridTest, ARangeMayLeaveThePixelsByOnePerCent) {
  EXPECT_TRUE((PixelRange{-2.5, 257.5}.OnGrid()));
  EXPECT_FALSE((PixelRange{-2.6, 255}.OnGrid()));
  EXPECT_FALSE((PixelRange{0, 257.6}.OnGrid()));
  EXPECT_FALSE((PixelRange{0, std::nan("")}.OnGrid()));
}

TEST(PixelGridTest, RangesAreThoseOfAllSamplesInPixels) {
  const training::Bars data(64);
  data::LoaderOptions options = training::BarsOptions(false);
  options.preprocess.scale = 1.0 / 255;
  options.preprocess.mean = {0.5};
  options.preprocess.std = {0.25};
  data::Loader loader(&data, options);
  const auto right = RangeInPixels({1.0 / 255, {0.5}, {0.25}}, &loader);
  ASSERT_TRUE(right.ok()) << right.status();
  EXPECT_TRUE(right->OnGrid());
  // Twice the deviation and 127.5 more: where a pixel p was, 2 p is.
  const auto wide = RangeInPixels({1.0 / 255, {1}, {0.5}}, &loader);
  ASSERT_TRUE(wide.ok());
  EXPECT_NEAR(wide->high, 2 * right->high, 1e-3);
  EXPECT_NEAR(wide->low, 2 * right->low, 1e-3);
}

TEST(PixelGridTest, InputsThatOthersReadAndOddScalingsAreLeftAlone) {
  Graph g;
  const ValueId x = Image(&g, 2);
  g.AddOutput(Op(&g, "Add", "add", {Conv(&g, "a", x, 2, 2), x}));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  EXPECT_EQ(AlignInputToPixels(kScaling, &g)->value, graph::kNoValue);
  Graph net = Net();
  const PixelScaling three = {1, {1, 2, 3}, {1}};
  EXPECT_EQ(AlignInputToPixels(three, &net)->value, graph::kNoValue);
}

}  // namespace
}  // namespace condense::quantization
