#include "workers/engine/quantization/equalize.h"

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/channel_classes.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Tensor;
using graph::ValueId;

// Conv "a" 1 -> 4, Relu, depthwise Conv "b", Clip to [0, high], Conv "c" 4 ->
// 4, Add of c's and b's output, Relu, Conv "d" 4 -> 2.
Graph Chain(float high = 1e6f) {
  Graph g;
  const ValueId x = Image(&g, 1);
  ValueId y = Op(&g, "Relu", "relu", {Conv(&g, "a", x, 1, 4)});
  const ValueId w = g.AddConstant("b.w", training::Filled({4, 1, 3, 3}, 5));
  const ValueId b = g.AddConstant("b.b", training::Filled({4}, 6, 0.5));
  y = Op(&g, "Conv", "b", {y, w, b},
         {{"pads", std::vector<int64_t>{1, 1, 1, 1}}, {"group", int64_t{4}}});
  y = Op(&g, "Clip", "clip",
         {y, g.AddConstant("low", Tensor::Scalar<float>(0)),
          g.AddConstant("high", Tensor::Scalar<float>(high))});
  const ValueId sum = Op(&g, "Add", "add", {Conv(&g, "cc", y, 4, 4), y});
  g.AddOutput(Conv(&g, "ddd", Op(&g, "Relu", "relu2", {sum}), 4, 2));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

torch::Tensor Images() {
  torch::manual_seed(5);
  return torch::randn({16, 1, 6, 6});
}

torch::Tensor Output(const Graph& g) {
  const torch::NoGradGuard no_grad;
  return runtime::Executor::Create(g).value()->Run({Images()}).value()[0];
}

std::map<ValueId, ChannelStatistics> Seen(const Graph& g,
                                          const std::set<ValueId>& values) {
  std::map<ValueId, ChannelStatistics> seen;
  auto executor = runtime::Executor::Create(g).value();
  const std::vector<ValueId> watched = ValuesToEqualize(g, values);
  executor->Observe(watched, [&](ValueId id, const torch::Tensor& value) {
    for (int64_t c = 0; c < value.size(1); ++c) {
      const torch::Tensor one = value.select(1, c);
      seen[id].low.push_back(one.min().item<float>());
      seen[id].high.push_back(one.max().item<float>());
      seen[id].mean_square.push_back(one.square().mean().item<double>());
    }
  });
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(executor->Run({Images()}).ok());
  return seen;
}

std::set<ValueId> Quantized(const Graph& g) {
  std::set<ValueId> out;
  for (const char* name : {"relu.y", "clip.y", "cc.y", "relu2.y"}) {
    out.insert(g.FindValue(name));
  }
  return out;
}

// Multiplies output channel c of `from` by factors[c], without changing what
// the graph computes: only its direct reader `to` is a depthwise layer.
void Spread(Graph* g, const std::vector<float>& factors) {
  for (const char* name : {"a.w", "a.b", "b.w"}) {
    const ValueId id = g->FindValue(name);
    const Tensor tensor = *g->ConstantOf(id);
    std::vector<float> values = tensor.ToFloats();
    for (size_t i = 0; i < values.size(); ++i) {
      const float f = factors[i * 4 / values.size()];
      values[i] = name[0] == 'a' ? values[i] * f : values[i] / f;
    }
    g->SetConstant(id, Tensor::Of<float>(tensor.dims(), values));
  }
}

TEST(ChannelClassesTest, FactorsPassActivationsDepthwiseLayersAndAdditions) {
  const std::vector<ChannelClass> classes = FindChannelClasses(Chain());
  // Four between "a" and "b", four of "b", "cc" and "ddd".
  ASSERT_EQ(classes.size(), 8u);
  size_t pairs = 0;
  for (const ChannelClass& its : classes) {
    if (its.made_by.size() == 1 && its.read_by.size() == 1) ++pairs;
    if (its.made_by.size() == 2) {
      EXPECT_EQ(its.read_by.size(), 2u);
      EXPECT_EQ(its.bounds.size(), 1u);
    }
  }
  EXPECT_EQ(pairs, 4u);
}

TEST(ChannelClassesTest, WhatOtherOperatorsReadStays) {
  Graph g;
  const ValueId y = Conv(&g, "a", Image(&g, 1), 1, 2);
  const ValueId z = Op(&g, "Sigmoid", "sigmoid", {y});
  g.AddOutput(Conv(&g, "bb", Op(&g, "Mul", "mul", {y, z}), 2, 2));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  EXPECT_TRUE(FindChannelClasses(g).empty());
}

TEST(ChannelClassesTest, SlicesPadsAndConcatsMoveChannels) {
  Graph g;
  const ValueId a = Conv(&g, "a", Image(&g, 1), 1, 2);
  const auto ints = [&](const char* name, std::vector<int64_t> values) {
    return g.AddConstant(
        name,
        Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values));
  };
  const ValueId sliced =
      Op(&g, "Slice", "slice",
         {a, ints("from", {1}), ints("to", {2}), ints("axes", {1})});
  const ValueId padded =
      Op(&g, "Pad", "pad", {sliced, ints("pads", {0, 1, 0, 0, 0, 1, 0, 0})});
  const ValueId all =
      Op(&g, "Concat", "concat", {a, padded}, {{"axis", int64_t{1}}});
  g.AddOutput(Conv(&g, "bb", all, 5, 1));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  const std::vector<ChannelClass> classes = FindChannelClasses(g);
  ASSERT_EQ(classes.size(), 2u);
  for (const ChannelClass& its : classes) {
    // Channel 1 goes straight to 1 and through slice and pad to 3.
    const bool second = its.made_by[0].channel == 1;
    EXPECT_EQ(its.read_by.size(), second ? 2u : 1u);
    if (second) {
      EXPECT_EQ(its.read_by[1].channel, 3);
    }
  }
}

TEST(EqualizeTest, PairsOfWeightsPerTensorMeetInTheMiddle) {
  // r_maker = 4, r_reader = 1: f = 1/2 makes both 2.
  Graph g;
  const ValueId x = Image(&g, 1);
  const ValueId w = g.AddConstant(
      "w", Tensor::Of<float>({1, 1, 1, 1}, std::vector<float>{4}));
  const ValueId b =
      g.AddConstant("b", Tensor::Of<float>({1}, std::vector<float>{3}));
  const ValueId v = g.AddConstant(
      "v", Tensor::Of<float>({1, 1, 1, 1}, std::vector<float>{1}));
  const ValueId y =
      Op(&g, "Relu", "relu", {Op(&g, "Conv", "first", {x, w, b})});
  g.AddOutput(Op(&g, "Conv", "second", {y, v}));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  EXPECT_EQ(EqualizeLayers(&g, {y}, Seen(g, {y}), {.per_channel = false}), 1);
  EXPECT_NEAR(Floats(g, w)[0], 2, 1e-4);
  EXPECT_NEAR(Floats(g, v)[0], 2, 1e-4);
  EXPECT_NEAR(Floats(g, b)[0], 1.5, 1e-4);
}

TEST(EqualizeTest, TheFloatFunctionStays) {
  for (bool per_channel : {false, true}) {
    for (float high : {1e6f, 0.5f}) {
      Graph g = Chain(high);
      Spread(&g, {0.01f, 1, 20, 0.3f});
      const torch::Tensor before = Output(g);
      const int moved = EqualizeLayers(&g, Quantized(g), Seen(g, Quantized(g)),
                                       {.per_channel = per_channel});
      EXPECT_GT(moved, 0);
      EXPECT_TRUE(at::allclose(Output(g), before, 1e-4, 1e-4))
          << per_channel << high;
    }
  }
}

TEST(EqualizeTest, WeakChannelsInFrontOfDepthwiseLayersReachTheFullRange) {
  Graph g = Chain();
  Spread(&g, {0.01f, 1, 20, 0.3f});
  const ValueId relu = g.FindValue("relu.y");
  EqualizeLayers(&g, Quantized(g), Seen(g, Quantized(g)), {});
  const ChannelStatistics after = Seen(g, {relu})[relu];
  for (float high : after.high) EXPECT_NEAR(high / after.high[2], 1, 1e-3);
}

TEST(EqualizeTest, ChannelsThatReachTheirClipStay) {
  Graph g = Chain(0.5f);
  const ValueId clip = g.FindValue("clip.y");
  const auto before = Seen(g, {clip})[clip];
  EqualizeLayers(&g, Quantized(g), Seen(g, Quantized(g)), {});
  const auto after = Seen(g, {clip})[clip];
  for (size_t c = 0; c < before.high.size(); ++c) {
    if (before.high[c] >= 0.5f) {
      EXPECT_EQ(after.high[c], before.high[c]);
    }
    EXPECT_LE(after.high[c], 0.5f);
  }
}

// Conv 1 -> 8, then three times depthwise and 1 x 1, all with Relu.
Graph Separable() {
  Graph g;
  ValueId y = Op(&g, "Relu", "r0", {Conv(&g, "a", Image(&g, 1), 1, 8)});
  for (int i = 0; i < 3; ++i) {
    const std::string name = "d" + std::to_string(i);
    const auto layer = [&](const std::string& at, std::vector<int64_t> dims,
                           std::map<std::string, graph::Attribute> attrs) {
      const uint64_t seed = 10 * i + at.size();
      const ValueId w =
          g.AddConstant(at + ".w", training::Filled(dims, seed, 0.1));
      const ValueId b =
          g.AddConstant(at + ".b", training::Filled({8}, seed + 5, 0.2));
      y = Op(&g, "Relu", at + ".relu",
             {Op(&g, "Conv", at, {y, w, b}, std::move(attrs))});
    };
    layer(name, {8, 1, 3, 3},
          {{"pads", std::vector<int64_t>{1, 1, 1, 1}}, {"group", int64_t{8}}});
    layer(name + "_point", {8, 8, 1, 1}, {});
  }
  g.AddOutput(Conv(&g, "end", y, 8, 4));
  EXPECT_TRUE(graph::InferShapes(g).ok());
  return g;
}

// The SQNR of the output in dB with weights on 8-bit grids.
double WeightSqnrDb(const Graph& g, bool per_channel) {
  Numerics numerics = RuntimeNumerics();
  numerics.per_channel = per_channel;
  Graph placed = std::move(PlaceQuantizers(g, numerics)->graph);
  const std::vector<graph::NodeId> order = placed.order();
  for (graph::NodeId id : order) {
    const graph::Node& node = placed.node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "activation") {
      continue;
    }
    placed.ReplaceUses(node.outputs[0], node.inputs[0]);
    placed.RemoveNode(id);
  }
  const torch::Tensor exact = Output(g);
  return 10 * std::log10((exact.square().sum() /
                          (Output(placed) - exact).square().sum())
                             .item<double>());
}

TEST(EqualizeTest, SpreadChannelsRuinScalesPerTensorAndEqualisationCuresThem) {
  Graph g = Separable();
  const torch::Tensor before = Output(g);
  EXPECT_GT(WeightSqnrDb(g, false), 25);
  data::Random random(17);
  std::vector<double> factors;
  // As batch normalisation does in front of depthwise layers, whose own scales
  // per channel could take it up.
  for (const ChannelClass& its : FindChannelClasses(g)) {
    const double unit = static_cast<double>(random.Below(1 << 20)) / (1 << 20);
    const graph::Node& reader = g.node(its.read_by[0].node);
    factors.push_back(reader.Int("group", 1) > 1 ? std::exp2(12 * unit - 6)
                                                 : 1);
  }
  ScaleChannelClasses(factors, &g);
  EXPECT_TRUE(at::allclose(Output(g), before, 1e-4, 1e-4));
  EXPECT_LT(WeightSqnrDb(g, false), 12);
  EXPECT_GT(WeightSqnrDb(g, true), 25);
  EqualizeLayers(&g, {}, {}, {.per_channel = false});
  EXPECT_GT(WeightSqnrDb(g, false), 25);
}

}  // namespace
}  // namespace condense::quantization
