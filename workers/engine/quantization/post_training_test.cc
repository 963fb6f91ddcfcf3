#include "workers/engine/quantization/post_training.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/quantization/quantization_test_graphs.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using ::testing::Contains;
using ::testing::Field;

class PostTrainingTest : public ::testing::Test {
 protected:
  PostTrainingTest() {
    options_.numerics = RuntimeNumerics();
    options_.pixels = PixelScaling{loading_.preprocess.scale, {0.25}, {0.5}};
    loading_.preprocess.mean = {0.25};
    loading_.preprocess.std = {0.5};
  }

  PostTrainingReport Quantize() {
    data::Loader loader(&data_, loading_);
    auto report = QuantizePostTraining(&graph_, &loader, options_);
    EXPECT_TRUE(report.ok()) << report.status();
    return *std::move(report);
  }

  const training::Bars data_{64};
  data::LoaderOptions loading_ = training::BarsOptions(false);
  PostTrainingOptions options_;
  Graph graph_ = training::BarsNet();
};

bool Has(const Graph& graph, const std::string& op) {
  for (graph::NodeId id : graph.order()) {
    if (graph.node(id).Is(op)) return true;
  }
  return false;
}

TEST_F(PostTrainingTest, SamplesThatAreNoPixelsGetObservedRanges) {
  options_.pixels->std = {5};
  const PostTrainingReport report = Quantize();
  EXPECT_THAT(report.notes,
              Contains(Field(&Note::reason, "PIXEL_GRID_MISFIT")));
  EXPECT_EQ(graph_.FindNode("input.center"), graph::kNoNode);
}

TEST_F(PostTrainingTest, SamplesThatArePixelsGetTheirGrid) {
  EXPECT_THAT(
      Quantize().notes,
      ::testing::Not(Contains(Field(&Note::reason, "PIXEL_GRID_MISFIT"))));
  EXPECT_NE(graph_.FindNode("input.center"), graph::kNoNode);
}

TEST_F(PostTrainingTest, WithoutQuantizedActivationsWeightsAloneAre) {
  options_.numerics.float_activations = true;
  Quantize();
  EXPECT_EQ(Count(graph_, "activation"), 0);
  EXPECT_GT(Count(graph_, "weight"), 0);
}

TEST_F(PostTrainingTest, ScalesAreSnappedToPowersOfTwoWhereAskedFor) {
  options_.numerics.activation_power_of_two = true;
  Quantize();
  for (graph::NodeId id : graph_.order()) {
    const graph::Node& node = graph_.node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "activation") {
      continue;
    }
    const double exponent = std::log2(Floats(graph_, node.inputs[1])[0]);
    EXPECT_NEAR(exponent, std::round(exponent), 1e-6) << node.name;
  }
}

TEST_F(PostTrainingTest, BatchNormalisationStaysWhereItTrains) {
  options_.fold_batch_norm = false;
  options_.pixels.reset();
  options_.equalize = options_.bias_correction = false;
  options_.smooth = 0;
  options_.rounding = Rounding::kNearest;
  Quantize();
  EXPECT_TRUE(Has(graph_, "BatchNormalization"));
}

}  // namespace
}  // namespace condense::quantization
