#include "workers/engine/quantization/calibrate.h"

#include <cmath>
#include <limits>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/quantization_test_graphs.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Node;
using graph::Tensor;
using graph::ValueId;
using ::testing::ElementsAre;
using ::testing::Pair;

// Image i is 1 x 2 pixels: i and 255 - i.
class Ramp : public data::Dataset {
 public:
  explicit Ramp(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  int64_t num_classes() const override { return 1; }
  absl::StatusOr<data::Sample> Get(int64_t index) const override {
    return data::Sample{
        1,
        2,
        1,
        {static_cast<uint8_t>(index), static_cast<uint8_t>(255 - index)},
        0};
  }

 private:
  const int64_t size_;
};

data::LoaderOptions Loading() {
  data::LoaderOptions options;
  options.batch_size = 100;
  options.preprocess.scale = 1.0 / 255;
  return options;
}

// y = 2 x - 1/2 by a 1 x 1 convolution, then MaxPool over both pixels.
Graph Line(float weight = 2) {
  Graph g;
  const ValueId x = g.AddInput("x", graph::DType::kFloat32,
                               graph::Shape{graph::Dim::Symbol("N"), 1, 1, 2});
  const ValueId w = g.AddConstant(
      "w", Tensor::Of<float>({1, 1, 1, 1}, std::vector<float>{weight}));
  const ValueId b =
      g.AddConstant("b", Tensor::Of<float>({1}, std::vector<float>{-0.5f}));
  const ValueId y = Op(&g, "Conv", "conv", {x, w, b});
  g.AddOutput(Op(&g, "MaxPool", "pool", {y},
                 {{"kernel_shape", std::vector<int64_t>{1, 2}}}));
  return g;
}

Graph Placed(const Graph& g, const Numerics& numerics = RuntimeNumerics()) {
  auto placement = PlaceQuantizers(g, numerics);
  EXPECT_TRUE(placement.ok()) << placement.status();
  return std::move(placement->graph);
}

void ExpectGrid(const Graph& g, const Node* quantizer, double scale,
                int64_t zero_point) {
  ASSERT_NE(quantizer, nullptr);
  EXPECT_NEAR(Floats(g, quantizer->inputs[1])[0], scale, 1e-7);
  EXPECT_EQ(g.ConstantOf(quantizer->inputs[2])->ToInts()[0], zero_point);
}

TEST(CalibrateTest, WritesTheGridsOfWhatTheFloatModelComputes) {
  Ramp data(256);
  data::Loader loader(&data, Loading());
  Graph g = Placed(Line());
  std::vector<std::pair<int64_t, int64_t>> progress;
  const absl::Status status = Calibrate(
      &g, &loader, {.observer = {.kind = ObserverKind::kMinMax}},
      [&](int64_t done, int64_t all) { progress.emplace_back(done, all); });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(progress, ElementsAre(Pair(1, 3), Pair(2, 3), Pair(3, 3)));
  // x in [0, 1]; y in [-1/2, 3/2], zero at .5 * 127.5 = 63.75. The pool's
  // output uses the grid of its input.
  ExpectGrid(g, QuantizerInto(g, "conv"), 1.0 / 255, 0);
  ExpectGrid(g, QuantizerInto(g, "pool"), 2.0 / 255, 64);
  ExpectGrid(g, QuantizerOf(g, g.outputs()[0]), 2.0 / 255, 64);
}

TEST(CalibrateTest, SymmetricGridsPutZeroInTheMiddle) {
  Ramp data(256);
  data::Loader loader(&data, Loading());
  Graph g = Placed(Line());
  ASSERT_TRUE(Calibrate(&g, &loader,
                        {.observer = {.kind = ObserverKind::kMinMax},
                         .symmetric = true},
                        nullptr)
                  .ok());
  ExpectGrid(g, QuantizerInto(g, "pool"), 1.5 / 127, 128);
}

TEST(CalibrateTest, ASecondCalibrationGivesTheSame) {
  Ramp data(256);
  data::Loader loader(&data, Loading());
  Graph g = Placed(Line());
  ASSERT_TRUE(Calibrate(&g, &loader, {}, nullptr).ok());
  const std::vector<float> first =
      Floats(g, QuantizerInto(g, "pool")->inputs[1]);
  ASSERT_TRUE(Calibrate(&g, &loader, {}, nullptr).ok());
  EXPECT_EQ(first, Floats(g, QuantizerInto(g, "pool")->inputs[1]));
}

TEST(CalibrateTest, ValuesThatAreNeverFiniteNameTheNode) {
  Ramp data(3);
  data::Loader loader(&data, Loading());
  Graph g = Placed(Line());
  g.SetConstant(g.FindValue("b"),
                Tensor::Of<float>({1}, std::vector<float>{std::nanf("")}));
  const absl::Status status = Calibrate(&g, &loader, {}, nullptr);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ErrorReason(status), "NO_CALIBRATION");
  EXPECT_EQ(ErrorDetailOf(status).node, QuantizerInto(g, "pool")->name);
}

TEST(CalibrateTest, AnEmptyCalibrationSetIsAnError) {
  Ramp data(0);
  data::Loader loader(&data, Loading());
  Graph g = Placed(Line());
  EXPECT_EQ(ErrorReason(Calibrate(&g, &loader, {}, nullptr)), "NO_CALIBRATION");
}

TEST(RefreshWeightScalesTest, EqualsTheScalesOfThePlacementBitByBit) {
  for (bool per_channel : {true, false}) {
    Numerics numerics = RuntimeNumerics();
    numerics.per_channel = per_channel;
    numerics.weight_bits = per_channel ? 8 : 7;
    const Graph g = Placed(training::BarsNet(false), numerics);
    auto executor = runtime::Executor::Create(g);
    ASSERT_TRUE(executor.ok()) << executor.status();
    for (const char* name : {"conv", "head"}) {
      const ValueId scale = QuantizerInto(g, name, 1)->inputs[1];
      const ValueId weight = QuantizerInto(g, name, 1)->inputs[0];
      const torch::Tensor before = (*executor)->ConstantTensor(scale).clone();
      (*executor)->SetConstantTensor(scale, torch::full_like(before, 9));
      RefreshWeightScales(g, executor->get());
      EXPECT_TRUE(torch::equal(before, (*executor)->ConstantTensor(scale)));
      // It follows the weight: twice the weight, twice the scale.
      (*executor)->SetConstantTensor(
          weight, (*executor)->ConstantTensor(weight).detach() * 2);
      RefreshWeightScales(g, executor->get());
      EXPECT_TRUE(torch::equal(before * 2, (*executor)->ConstantTensor(scale)));
    }
  }
}

TEST(RefreshWeightScalesTest, AChannelOfZerosHasAPositiveScale) {
  Graph plain = Line(0);
  const Graph g = Placed(plain);
  auto executor = runtime::Executor::Create(g);
  RefreshWeightScales(g, executor->get());
  EXPECT_GT((*executor)
                ->ConstantTensor(QuantizerInto(g, "conv", 1)->inputs[1])
                .item<double>(),
            0);
}

TEST(SnapBiasesTest, RoundsToTheGridOfInputAndWeight) {
  Graph g = Placed(Line());
  const Node* input = QuantizerInto(g, "conv", 0);
  g.SetConstant(input->inputs[1], Tensor::Scalar<float>(0.25f));
  const Node* weight = QuantizerInto(g, "conv", 1);
  g.SetConstant(weight->inputs[1],
                Tensor::Of<float>({1}, std::vector<float>{0.5f}));
  // The grid has steps of 1/8: .3 = 2.4 steps, .3125 = 2.5 (even: 2), .3375 =
  // 2.7, -.4 = -3.2.
  for (auto [bias, snapped] : {std::pair<float, float>{0.3f, 0.25f},
                               {0.3125f, 0.25f},
                               {0.3375f, 0.375f},
                               {-0.4f, -0.375f}}) {
    g.SetConstant(g.FindValue("b"),
                  Tensor::Of<float>({1}, std::vector<float>{bias}));
    SnapBiases(&g);
    EXPECT_THAT(Floats(g, g.FindValue("b")), ElementsAre(snapped));
    EXPECT_THAT(Floats(g, weight->inputs[1]), ElementsAre(0.5f));
  }
}

TEST(SnapBiasesTest, WidensTheScaleOfWeightsTooSmallForTheirBias) {
  // s_x s_w = 1e-25 / 127 / 255: the bias would need 80 bits.
  Ramp data(256);
  data::Loader loader(&data, Loading());
  for (bool per_channel : {true, false}) {
    Numerics numerics = RuntimeNumerics();
    numerics.per_channel = per_channel;
    Graph g = Placed(Line(1e-25f), numerics);
    ASSERT_TRUE(Calibrate(&g, &loader, {}, nullptr).ok());
    SnapBiases(&g);
    EXPECT_NEAR(Floats(g, g.FindValue("b"))[0], -0.5, 1e-8);
    auto lowered = LowerToQdq(g);
    ASSERT_TRUE(lowered.ok()) << lowered.status();
    const Tensor& bias =
        *lowered->graph.ConstantOf(lowered->graph.FindValue("b_quantized"));
    // 2^30 levels, and what they stand for is the bias.
    EXPECT_NEAR(static_cast<double>(bias.ToInts()[0]), -(1 << 30), 1000);
    EXPECT_NEAR(
        static_cast<double>(bias.ToInts()[0]) *
            Floats(lowered->graph, lowered->graph.FindValue("b_scale"))[0],
        -0.5, 1e-7);
  }
}

TEST(SnapBiasesTest, ABiasOfTwoLayersBecomesOneForEach) {
  Graph g;
  const ValueId x = Image(&g, 2);
  const ValueId bias = g.AddConstant(
      "shared", Tensor::Of<float>({2}, std::vector<float>{0.3f, -0.7f}));
  auto conv = [&](const char* name, double spread) {
    const ValueId w = g.AddConstant(
        std::string(name) + ".w", training::Filled({2, 2, 1, 1}, 5, 0, spread));
    return Op(&g, "Conv", name, {x, w, bias});
  };
  const ValueId left = conv("left", 30), right = conv("right", 1);
  g.AddOutput(Op(&g, "Add", "add", {left, right}));
  Graph q = Placed(g);
  SnapBiases(&q);
  for (const QuantizedLayer& layer : QuantizedLayers(q)) {
    const std::vector<float> values = Floats(q, layer.bias);
    for (size_t i = 0; i < 2; ++i) {
      const double levels = values[i] / layer.bias_scales[i];
      EXPECT_NEAR(levels, std::nearbyint(levels), 1e-4);
      EXPECT_NEAR(values[i], i == 0 ? 0.3 : -0.7, layer.bias_scales[i]);
    }
  }
  EXPECT_NE(q.node(q.FindNode("left")).inputs[2],
            q.node(q.FindNode("right")).inputs[2]);
}

}  // namespace
}  // namespace condense::quantization
