#include "workers/engine/quantization/training_graph.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/live_batch_norm.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/quantization/range_average.h"
#include "workers/engine/quantization/weight_quantizer.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

// A residual block behind a pooled stem: Conv-Relu-MaxPool, Conv-Relu-Conv,
// Add-Relu, Conv-Clip, average, Gemm. With normalisation behind each
// convolution, if asked for.
class Block {
 public:
  explicit Block(bool norms) : norms_(norms) {
    ValueId x = Image(&graph, 1);
    x = Op(&graph, "Relu", "r0", {Unit("c0", x, 1, 4)});
    x = Op(&graph, "MaxPool", "pool", {x},
           {{"kernel_shape", std::vector<int64_t>{2, 2}},
            {"strides", std::vector<int64_t>{2, 2}}});
    ValueId y = Op(&graph, "Relu", "r1", {Unit("c1", x, 4, 4)});
    y = Unit("c2", y, 4, 4);
    x = Op(&graph, "Relu", "r2", {Op(&graph, "Add", "sum", {y, x})});
    const auto low = graph.AddConstant("low", Tensor::Scalar<float>(-0.2f));
    const auto high = graph.AddConstant("high", Tensor::Scalar<float>(0.9f));
    x = Op(&graph, "Clip", "clip", {Unit("c3", x, 4, 5), low, high});
    x = Op(&graph, "Flatten", "flat",
           {Op(&graph, "GlobalAveragePool", "gap", {x})});
    graph.AddOutput(Op(
        &graph, "Gemm", "fc",
        {x, graph.AddConstant("fc.w", training::Filled({3, 5}, 5)),
         graph.AddConstant(
             "fc.b", Tensor::Of<float>({3}, std::vector<float>{0, 0.1f, 0}))},
        {{"transB", int64_t{1}}}));
    EXPECT_TRUE(graph::InferShapes(graph).ok());
  }

  Graph graph;

 private:
  ValueId Unit(const std::string& name, ValueId x, int64_t from, int64_t to) {
    x = Conv(&graph, name, x, from, to);
    if (!norms_) return x;
    const auto constant = [&](const char* part, double center, double spread) {
      return graph.AddConstant(name + part,
                               training::Filled({to}, 3, center, spread));
    };
    return Op(&graph, "BatchNormalization", name + ".norm",
              {x, constant(".gamma", 0.1, 1), constant(".beta", 0, 0.3),
               constant(".mean", 0, 0.3), constant(".var", 1, 0.5)});
  }

  const bool norms_;
};

Numerics BlockNumerics() {
  Numerics numerics = RuntimeNumerics();
  numerics.quantized_ops.insert("Clip");
  numerics.fusions.push_back({"Conv", "Clip"});
  return numerics;
}

// Placed, on grids that clip a part of what comes.
Graph Placed(const Graph& graph, const std::string& scheme = "max_abs",
             int bits = 8) {
  Numerics numerics = BlockNumerics();
  numerics.weight_scheme = scheme;
  numerics.weight_bits = bits;
  Graph placed = PlaceQuantizers(graph, numerics)->graph;
  for (NodeId id : placed.order()) {
    const Node& node = placed.node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "activation") {
      continue;
    }
    placed.SetConstant(node.inputs[1], Tensor::Scalar<float>(0.004f));
    placed.SetConstant(node.inputs[2], Tensor::Scalar<int32_t>(60));
  }
  return placed;
}

std::unique_ptr<runtime::Executor> Executable(const Graph& graph) {
  auto executor = runtime::Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  return *std::move(executor);
}

int Count(const Graph& graph, const std::string& op) {
  int count = 0;
  for (NodeId id : graph.order()) count += graph.node(id).op == op;
  return count;
}

// With and without normalisation, which trains on the statistics of the batch.
TEST(TrainingGraphTest, FewerNodesAreTheSameFunctionWithTheSameGradients) {
  for (const bool norms : {false, true}) {
    const Graph placed = Placed(Block(norms).graph);
    const Graph training = TrainingGraph(placed, {});
    EXPECT_EQ(Count(training, "Relu") + Count(training, "Clip") +
                  Count(training, "Add"),
              0);
    EXPECT_LT(Count(training, "FakeQuantize"), Count(placed, "FakeQuantize"));
    torch::manual_seed(4);
    const torch::Tensor x = torch::randn({3, 1, 6, 6});
    auto before = Executable(placed), after = Executable(training);
    before->SetTraining(true);
    after->SetTraining(true);
    const torch::Tensor y = before->Forward({x})[0];
    const torch::Tensor z = after->Forward({x})[0];
    EXPECT_TRUE(torch::allclose(y, z, 1e-6));
    const torch::Tensor upstream = torch::randn_like(y);
    y.backward(upstream);
    z.backward(upstream);
    ASSERT_EQ(before->parameters().size(), after->parameters().size());
    for (const runtime::Parameter& parameter : before->parameters()) {
      const auto same = std::find_if(
          after->parameters().begin(), after->parameters().end(),
          [&](const auto& other) { return other.name == parameter.name; });
      ASSERT_NE(same, after->parameters().end());
      ASSERT_TRUE(same->tensor.grad().defined()) << parameter.name;
      EXPECT_TRUE(torch::allclose(parameter.tensor.grad(), same->tensor.grad(),
                                  1e-4, 1e-5))
          << norms << " " << parameter.name;
    }
  }
}

TEST(TrainingGraphTest, WhatFloatTrainsQuantizedTrainsToo) {
  for (const bool norms : {false, true}) {
    const Graph plain = Block(norms).graph;
    const auto names = [](const Graph& graph) {
      std::map<std::string, runtime::ParameterKind> kinds;
      const auto executor = Executable(graph);
      for (const auto& parameter : executor->parameters()) {
        kinds[parameter.name] = parameter.kind;
      }
      return kinds;
    };
    const Graph placed = Placed(plain);
    EXPECT_EQ(names(placed), names(plain));
    EXPECT_EQ(names(TrainingGraph(placed, {.observe = true})), names(plain));
    EXPECT_EQ(names(plain).at("c1.w"), runtime::ParameterKind::kWeight);
    // With their scales, one per quantizer that is left.
    const Graph learned = TrainingGraph(placed, {.rule = ScaleRule::kLsq});
    EXPECT_GT(names(learned).size(), names(plain).size());
    EXPECT_EQ(names(learned).count("c1.w.scale"), 1u);
  }
}

TEST(TrainingGraphTest, WeightsTakeTheirScaleFromThemselves) {
  const Graph placed = Placed(Block(false).graph);
  const Graph training = TrainingGraph(placed, {});
  auto executor = Executable(training);
  const ValueId w = training.FindValue("c1.w");
  executor->SetConstantTensor(w, executor->ConstantTensor(w) * 3);
  executor->Forward({torch::zeros({1, 1, 6, 6})});
  const Node& quantizer = training.node(training.FindNode("c1.w.quantize"));
  const torch::Tensor scale = executor->ConstantTensor(quantizer.inputs[1]);
  EXPECT_TRUE(torch::equal(
      scale, executor->ConstantTensor(w).detach().abs().amax({1, 2, 3}) / 127));
}

TEST(RangeAverageTest, GridsFollowWhatEntersThem) {
  Graph g;
  const ValueId x = Image(&g, 1);
  g.AddOutput(Op(&g, "Relu", "r", {Conv(&g, "c", x, 1, 2)}));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  Graph placed = PlaceQuantizers(g, RuntimeNumerics())->graph;
  const Graph training = TrainingGraph(placed, {.observe = true});
  auto executor = Executable(training);
  executor->SetTraining(true);
  RangeAverage average(training, executor.get(), {.rate = 0.25});
  const Node& node = training.node(training.FindNode("x.quantize"));
  // From the grid of the placement: scale 1, zero point 0, so [0, 255].
  torch::Tensor image = torch::zeros({1, 1, 6, 6});
  image[0][0][0][0] = -1;
  image[0][0][0][1] = 55;
  executor->Forward({image});
  average.Update();
  // low = 0 + .25 (-1 - 0), high = 255 + .25 (55 - 255).
  const float scale = (205.0f + 0.25f) / 255;
  EXPECT_FLOAT_EQ(executor->ConstantTensor(node.inputs[1]).item<float>(),
                  scale);
  EXPECT_EQ(executor->ConstantTensor(node.inputs[2]).item<int>(), 0);
  // Nothing was seen since, and nothing is out of training.
  average.Update();
  executor->SetTraining(false);
  executor->Forward({image * 100});
  average.Update();
  EXPECT_FLOAT_EQ(executor->ConstantTensor(node.inputs[1]).item<float>(),
                  scale);
}

class LiveBatchNormTest : public testing::TestWithParam<const char*> {};

TEST_P(LiveBatchNormTest, FoldingAfterwardsIsTheSameFunction) {
  const Block block(true);
  const bool learned = std::string(GetParam()) == "learned";
  const std::string scheme = learned ? "max_abs" : GetParam();
  const bool plain = scheme == "max_abs";
  Graph live = Placed(block.graph, scheme, plain && !learned ? 8 : 3);
  for (const auto& [layer, quantizer] : WeightQuantizers(live)) {
    if (!learned) break;
    // A step that the weight does not tell, and that clips.
    const ValueId scale = live.node(quantizer).inputs[1];
    std::vector<float> scales = live.ConstantOf(scale)->ToFloats();
    for (size_t c = 0; c < scales.size(); ++c) scales[c] *= 0.5f + 0.1f * c;
    live.SetConstant(scale,
                     Tensor::Of<float>(live.ConstantOf(scale)->dims(), scales));
  }
  EXPECT_EQ(Count(live, "BatchNormalization"), 4);
  // Quantizers stand behind the normalisation, not in front of it.
  for (NodeId id : live.order()) {
    if (!live.node(id).Is("BatchNormalization")) continue;
    EXPECT_TRUE(
        live.node(live.value(live.node(id).inputs[0]).producer).Is("Conv"));
  }
  Graph folded = live;
  ASSERT_TRUE(FoldLiveBatchNorm(&folded).ok());
  ProjectWeights(&folded);
  // As training has it.
  for (NodeId id : live.order()) {
    Node& node = live.mutable_node(id);
    if (!plain && node.String("role", "") == "weight") {
      node.attrs["projection"] = scheme;
    }
  }
  EXPECT_EQ(Count(folded, "BatchNormalization"), 0);
  EXPECT_EQ(Count(folded, "FakeQuantize"), Count(live, "FakeQuantize"));
  torch::manual_seed(4);
  const torch::Tensor x = torch::randn({8, 1, 6, 6});
  // Activations go unquantized here: a level that flips is not of the folding.
  const auto without_activations = [](Graph g) {
    const std::vector<NodeId> order = g.order();
    for (NodeId id : order) {
      if (!g.node(id).IsFakeQuantize() ||
          g.node(id).String("role", "") == "weight") {
        continue;
      }
      g.ReplaceUses(g.node(id).outputs[0], g.node(id).inputs[0]);
      g.RemoveNode(id);
    }
    return g;
  };
  const torch::NoGradGuard no_grad;
  const torch::Tensor y =
      Executable(without_activations(live))->Forward({x})[0];
  const torch::Tensor z =
      Executable(without_activations(folded))->Forward({x})[0];
  EXPECT_LT((y - z).abs().max().item<double>(),
            1e-5 * y.abs().max().item<double>());
}

INSTANTIATE_TEST_SUITE_P(Schemes, LiveBatchNormTest,
                         testing::Values("max_abs", "learned", "lq", "lut"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

TEST(TrainingGraphTest, WhatWasTrainedIsTakenByName) {
  Graph placed = Placed(Block(false).graph);
  Graph training = TrainingGraph(placed, {.observe = true});
  training.SetConstant(training.FindValue("fc.b"),
                       Tensor::Of<float>({3}, std::vector<float>{4, 5, 6}));
  TakeTrained(training, &placed);
  EXPECT_EQ(Floats(placed, placed.FindValue("fc.b")),
            (std::vector<float>{4, 5, 6}));
}

}  // namespace
}  // namespace condense::quantization
