#include "workers/engine/quantization/placement.h"

#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/verify.h"
#include "workers/engine/quantization/quantization_test_graphs.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::Node;
using graph::Tensor;
using graph::ValueId;
using ::testing::ElementsAre;
using ::testing::Pair;

Placement Place(const Graph& g, const Numerics& numerics = RuntimeNumerics()) {
  auto placement = PlaceQuantizers(g, numerics);
  EXPECT_TRUE(placement.ok()) << placement.status();
  EXPECT_TRUE(graph::Verify(placement->graph).ok())
      << graph::Verify(placement->graph);
  return *std::move(placement);
}

TEST(WeightScalesTest, AreTheLargestValuePerChannelOverTheLevels) {
  // [2, 1, 2]: rows (1, -2) and (3, .5).
  const Tensor weight =
      Tensor::Of<float>({2, 1, 2}, std::vector<float>{1, -2, 3, 0.5f});
  EXPECT_THAT(WeightScales(weight, 0, 127), ElementsAre(2.f / 127, 3.f / 127));
  EXPECT_THAT(WeightScales(weight, 2, 63), ElementsAre(3.f / 63, 2.f / 63));
  EXPECT_THAT(WeightScales(weight, -1, 7), ElementsAre(3.f / 7));
  EXPECT_THAT(
      WeightScales(Tensor::Of<float>({1, 2}, std::vector<float>{0, 0}), 0, 127),
      ElementsAre(1.f / 127));
}

TEST(PlacementTest, NothingStandsInsideOfAFusion) {
  Graph g;
  const ValueId conv = Conv(&g, "conv", Image(&g, 3), 3, 4);
  g.AddOutput(Op(&g, "Relu", "relu", {conv}));
  const Placement placement = Place(g);
  const Graph& q = placement.graph;
  EXPECT_EQ(Count(q, "weight"), 1);
  // The input and what leaves the Relu.
  EXPECT_EQ(Count(q, "activation"), 2);
  EXPECT_NE(QuantizerInto(q, "conv", 0), nullptr);
  EXPECT_NE(QuantizerInto(q, "conv", 1), nullptr);
  EXPECT_EQ(QuantizerInto(q, "conv", 2), nullptr);
  EXPECT_EQ(QuantizerInto(q, "relu"), nullptr);
  const Node* last = QuantizerOf(q, q.outputs()[0]);
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->String("dtype", ""), "uint8");
  EXPECT_EQ(last->Int("qmin", -1), 0);
  EXPECT_EQ(last->Int("qmax", -1), 255);
  EXPECT_TRUE(placement.frozen.empty());
}

TEST(PlacementTest, AGraphOutputKeepsItsNameAndShape) {
  Graph g;
  g.AddOutput(Conv(&g, "conv", Image(&g, 3), 3, 4));
  const Graph q = Place(g).graph;
  EXPECT_EQ(q.value(q.outputs()[0]).name, "conv.y");
  EXPECT_EQ(graph::ShapeText(q.value(q.outputs()[0]).shape), "[N, 4, 6, 6]");
  EXPECT_EQ(q.value(q.inputs()[0]).name, "x");
}

TEST(PlacementTest, WhatTheModelPutsOutHasEightBitsAtLeast) {
  Graph g;
  const ValueId first = Conv(&g, "first", Image(&g, 3), 3, 4);
  const ValueId second = Conv(&g, "second", first, 4, 4);
  g.AddOutput(Op(&g, "Flatten", "flatten", {second}));
  Numerics numerics = RuntimeNumerics();
  numerics.quantized_ops.insert("Flatten");
  const auto levels = [&](int bits, const std::string& layer) {
    numerics.activation_bits = bits;
    const Graph q = Place(g, numerics).graph;
    const Node* quantizer = layer.empty() ? QuantizerOf(q, q.outputs()[0])
                                          : QuantizerInto(q, layer, 0);
    return quantizer->Int("qmax", 0) - quantizer->Int("qmin", 0) + 1;
  };
  EXPECT_EQ(levels(2, "first"), 4);
  EXPECT_EQ(levels(2, "second"), 4);
  EXPECT_EQ(levels(2, "flatten"), 256) << "it has the grid of the output";
  EXPECT_EQ(levels(2, ""), 256);
  EXPECT_EQ(levels(16, ""), 65536);
}

TEST(PlacementTest, WithoutTheFusionTheChainIsTwoKernels) {
  Graph g;
  const ValueId conv = Conv(&g, "conv", Image(&g, 3), 3, 4);
  g.AddOutput(Op(&g, "Relu", "relu", {conv}));
  Numerics numerics = RuntimeNumerics();
  numerics.fusions.clear();
  EXPECT_NE(QuantizerInto(Place(g, numerics).graph, "relu"), nullptr);
}

TEST(PlacementTest, AValueThatSomeoneElseReadsIsNotFusedAway) {
  Graph g;
  const ValueId conv = Conv(&g, "conv", Image(&g, 3), 3, 4);
  const ValueId relu = Op(&g, "Relu", "relu", {conv});
  g.AddOutput(Op(&g, "Add", "add", {relu, conv}));
  const Graph q = Place(g).graph;
  EXPECT_NE(QuantizerInto(q, "relu"), nullptr);
  EXPECT_NE(QuantizerInto(q, "add", 0), nullptr);
  EXPECT_NE(QuantizerInto(q, "add", 1), nullptr);
}

TEST(PlacementTest, AResidualAddGetsBothOfItsInputsQuantized) {
  Graph g;
  const ValueId x = Image(&g, 4);
  const ValueId first = Op(&g, "Relu", "relu1", {Conv(&g, "conv1", x, 4, 4)});
  const ValueId second = Conv(&g, "conv2", first, 4, 4);
  const ValueId sum = Op(&g, "Add", "add", {second, x});
  g.AddOutput(Op(&g, "Relu", "relu2", {sum}));
  const Graph q = Place(g).graph;
  // x, relu1, conv2, relu2.
  EXPECT_EQ(Count(q, "activation"), 4);
  const Node* left = QuantizerInto(q, "add", 0);
  const Node* right = QuantizerInto(q, "add", 1);
  ASSERT_NE(left, nullptr);
  ASSERT_NE(right, nullptr);
  EXPECT_NE(left->inputs[1], right->inputs[1]);
  // The shortcut reads the quantizer that the first convolution reads.
  EXPECT_EQ(right, QuantizerInto(q, "conv1", 0));
  EXPECT_EQ(QuantizerInto(q, "relu2"), nullptr);
}

TEST(PlacementTest, MaxPoolGivesTheScaleOfItsInputToItsOutput) {
  Graph g;
  const std::map<std::string, graph::Attribute> window = {
      {"kernel_shape", std::vector<int64_t>{2, 2}},
      {"strides", std::vector<int64_t>{2, 2}}};
  const ValueId relu =
      Op(&g, "Relu", "relu", {Conv(&g, "conv", Image(&g, 3), 3, 4)});
  const ValueId pool = Op(&g, "MaxPool", "pool", {relu}, window);
  g.AddOutput(Conv(&g, "next", pool, 4, 4));
  const Graph q = Place(g).graph;
  const Node* before = QuantizerInto(q, "pool");
  const Node* after = QuantizerInto(q, "next");
  ASSERT_NE(before, nullptr);
  ASSERT_NE(after, nullptr);
  EXPECT_NE(before, after);
  EXPECT_EQ(before->inputs[1], after->inputs[1]);
  EXPECT_EQ(before->inputs[2], after->inputs[2]);
  // Where it runs in float the scale is its own.
  Numerics numerics = RuntimeNumerics();
  numerics.quantized_ops.erase("MaxPool");
  const Graph f = Place(g, numerics).graph;
  EXPECT_NE(QuantizerInto(f, "pool")->inputs[1],
            QuantizerInto(f, "next")->inputs[1]);
}

TEST(PlacementTest, AMoveBeforeAKernelTakesTheKernelsGridToItsInput) {
  Graph g;
  const ValueId flat = Op(&g, "Flatten", "flatten", {Image(&g, 1)});
  const ValueId w = g.AddConstant("w", training::Filled({36, 2}, 1));
  g.AddOutput(Op(&g, "MatMul", "head", {flat, w}));
  const Graph q = Place(g).graph;
  ASSERT_NE(QuantizerInto(q, "flatten"), nullptr);
  EXPECT_EQ(QuantizerInto(q, "flatten")->inputs[1],
            QuantizerInto(q, "head")->inputs[1]);
}

TEST(PlacementTest, EveryOutputOfASplitThatAKernelReadsIsQuantized) {
  Graph g;
  const ValueId x = Image(&g, 4);
  const auto split =
      g.AddNode("Split", "split", {x}, {"s0", "s1"}, {{"axis", int64_t{1}}});
  const ValueId second = g.node(split).outputs[1];
  const ValueId pool = Op(&g, "MaxPool", "pool", {second},
                          {{"kernel_shape", std::vector<int64_t>{1, 1}}});
  g.AddOutput(g.node(split).outputs[0]);
  g.AddOutput(Conv(&g, "conv", pool, 2, 2));
  const Graph q = Place(g).graph;
  ASSERT_NE(QuantizerInto(q, "pool"), nullptr);
  EXPECT_EQ(QuantizerInto(q, "pool")->inputs[1],
            QuantizerInto(q, "conv")->inputs[1]);
  EXPECT_EQ(QuantizerOf(q, q.outputs()[0]), nullptr);
}

TEST(PlacementTest, ArithmeticWithAConstantStaysInFloat) {
  Graph g;
  const ValueId mean = g.AddConstant("mean", training::Filled({3, 1, 1}, 1));
  g.AddOutput(Op(&g, "Add", "add", {Image(&g, 3), mean}));
  const Graph q = Place(g).graph;
  EXPECT_EQ(Count(q, "activation") + Count(q, "weight"), 0);
}

TEST(PlacementTest, OverridesLeaveALayerInFloatAndSayWhy) {
  Graph g = training::BarsNet(false);
  Numerics numerics = RuntimeNumerics();
  numerics.skip = {"head"};
  const Placement skipped = Place(g, numerics);
  EXPECT_EQ(QuantizerInto(skipped.graph, "head", 1), nullptr);
  EXPECT_NE(QuantizerInto(skipped.graph, "conv", 1), nullptr);
  EXPECT_EQ(QuantizerOf(skipped.graph, skipped.graph.outputs()[0]), nullptr);
  EXPECT_THAT(
      skipped.frozen,
      ElementsAre(Pair("head", "the recipe's overrides leave it in float")));
  numerics.skip.clear();
  numerics.quantized_ops.erase("Gemm");
  EXPECT_THAT(Place(g, numerics).frozen,
              ElementsAre(Pair("head", "the device profile runs it in float")));
}

TEST(PlacementTest, BitsOfOneLayerMayDiffer) {
  const Graph g = training::BarsNet(false);
  Numerics numerics = RuntimeNumerics();
  numerics.weight_bits = 7;
  numerics.bits = {{"head", 4}};
  const Graph q = Place(g, numerics).graph;
  const Node* conv = QuantizerInto(q, "conv", 1);
  const Node* head = QuantizerInto(q, "head", 1);
  EXPECT_EQ(conv->Int("qmax", 0), 63);
  EXPECT_EQ(conv->Int("qmin", 0), -63);
  EXPECT_EQ(head->Int("qmax", 0), 7);
  EXPECT_EQ(Floats(q, head->inputs[1]),
            WeightScales(*g.ConstantOf(g.FindValue("head.w")), 0, 7));
}

TEST(PlacementTest, ScalesLieAlongTheOutputChannels) {
  Graph g;
  const ValueId x = g.AddInput("x", graph::DType::kFloat32,
                               graph::Shape{graph::Dim::Symbol("N"), 3});
  auto weight = [&g](const char* name, std::vector<int64_t> dims) {
    return g.AddConstant(name, training::Filled(std::move(dims), 1));
  };
  ValueId y = Op(&g, "Gemm", "rows", {x, weight("a", {4, 3})},
                 {{"transB", int64_t{1}}});
  y = Op(&g, "Gemm", "columns", {y, weight("b", {4, 5})});
  y = Op(&g, "MatMul", "matmul", {y, weight("c", {5, 6})});
  g.AddOutput(Op(&g, "MatMul", "vector", {y, weight("d", {6})}));
  const Graph q = Place(g).graph;
  auto axis = [&q](const char* name) {
    return QuantizerInto(q, name, 1)->Int("axis", -1);
  };
  auto scales = [&q](const char* name) {
    return Floats(q, QuantizerInto(q, name, 1)->inputs[1]).size();
  };
  EXPECT_EQ(axis("rows"), 0);
  EXPECT_EQ(scales("rows"), 4u);
  EXPECT_EQ(axis("columns"), 1);
  EXPECT_EQ(scales("columns"), 5u);
  EXPECT_EQ(axis("matmul"), 1);
  EXPECT_EQ(scales("matmul"), 6u);
  // Its only axis is summed over.
  EXPECT_EQ(axis("vector"), -1);
  EXPECT_EQ(scales("vector"), 1u);
}

TEST(PlacementTest, PerTensorScalesAndSignedActivationsAsTheProfileSays) {
  Graph g;
  g.AddOutput(Conv(&g, "conv", Image(&g, 3), 3, 4));
  Numerics numerics = RuntimeNumerics();
  numerics.per_channel = false;
  numerics.activation_unsigned = false;
  const Graph q = Place(g, numerics).graph;
  const Node* weight = QuantizerInto(q, "conv", 1);
  EXPECT_FALSE(weight->Has("axis"));
  EXPECT_EQ(q.ConstantOf(weight->inputs[1])->rank(), 0);
  const Node* input = QuantizerInto(q, "conv", 0);
  EXPECT_EQ(input->String("dtype", ""), "int8");
  EXPECT_EQ(input->Int("qmin", 0), -128);
  EXPECT_EQ(input->Int("qmax", 0), 127);
}

TEST(PlacementTest, AnUnquantizableGraphComesBackAsItWas) {
  Graph g;
  g.AddOutput(Op(&g, "Sigmoid", "sigmoid", {Image(&g, 3)}));
  const Graph q = Place(g).graph;
  EXPECT_EQ(q.order().size(), 1u);
}

// Which inputs of a node and whether its output are quantized, e.g. "aw->q":
// a (an activation's quantizer), w (a weight's), f (float).
std::string Around(const Graph& g, const std::string& name) {
  const graph::Node& node = g.node(g.FindNode(name));
  std::string text;
  for (graph::ValueId input : node.inputs) {
    if (input == graph::kNoValue) continue;
    const graph::Node* q = QuantizerOf(g, input);
    text += q == nullptr ? 'f' : q->String("role", "")[0];
  }
  const auto consumers = g.Consumers(node.outputs[0]);
  const bool quantized =
      consumers.size() == 1 && g.node(consumers[0]).IsFakeQuantize();
  return text + (quantized ? "->q" : "->f");
}

// A fragment of a network between two convolutions, and where quantizers stand
// around some of its nodes.
struct Fragment {
  const char* name;
  std::function<graph::ValueId(Graph*, graph::ValueId)> build;
  std::map<std::string, std::string> around;
};

std::vector<Fragment> Fragments() {
  const auto weight = [](Graph* g, std::vector<int64_t> dims) {
    return g->AddConstant("k", training::Filled(std::move(dims), 4));
  };
  return {
      {"residual",
       [](Graph* g, graph::ValueId x) {
         return Op(g, "Relu", "out",
                   {Op(g, "Add", "sum", {Conv(g, "c1", x, 4, 4), x})});
       },
       {{"c1", "awf->q"}, {"sum", "aa->f"}, {"out", "f->q"}}},
      {"depthwise",
       [&](Graph* g, graph::ValueId x) {
         return Op(g, "Conv", "dw", {x, weight(g, {4, 1, 3, 3})},
                   {{"group", int64_t{4}},
                    {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
       },
       {{"dw", "aw->q"}}},
      {"squeeze and excitation",
       [&](Graph* g, graph::ValueId x) {
         graph::ValueId y = Op(g, "GlobalAveragePool", "pool", {x});
         y = Op(g, "Conv", "se", {y, weight(g, {4, 4, 1, 1})});
         return Op(g, "Mul", "gate", {x, Op(g, "Sigmoid", "sigmoid", {y})});
       },
       // The product is in float; what the next convolution reads is not.
       {{"pool", "a->q"},
        {"se", "aw->q"},
        {"sigmoid", "a->f"},
        {"gate", "af->q"}}},
      {"hard swish",
       [](Graph* g, graph::ValueId x) {
         return Op(g, "HardSwish", "out", {Conv(g, "c1", x, 4, 4)});
       },
       {{"c1", "awf->q"}, {"out", "a->q"}}},
      {"transposed convolution",
       [&](Graph* g, graph::ValueId x) {
         return Op(g, "ConvTranspose", "up", {x, weight(g, {4, 4, 1, 1})});
       },
       {{"up", "af->q"}}},
      {"layer normalisation",
       [&](Graph* g, graph::ValueId x) {
         return Op(g, "LayerNormalization", "ln",
                   {x, weight(g, {6}), weight(g, {6})});
       },
       {{"ln", "aff->q"}}},
      {"attention",
       [](Graph* g, graph::ValueId x) {
         const graph::ValueId scores =
             Op(g, "MatMul", "qk",
                {x, Op(g, "Transpose", "t", {x},
                       {{"perm", std::vector<int64_t>{0, 1, 3, 2}}})});
         return Op(g, "MatMul", "av",
                   {Op(g, "Softmax", "softmax", {scores}), x});
       },
       {{"qk", "aa->q"}, {"softmax", "a->q"}, {"av", "aa->q"}}},
      {"embedding",
       [&](Graph* g, graph::ValueId x) {
         const graph::ValueId rows =
             Op(g, "Gather", "gather",
                {weight(g, {5, 6}),
                 g->AddConstant(
                     "i", Tensor::Of<int64_t>({1}, std::vector<int64_t>{2}))});
         return Op(g, "Add", "sum", {x, rows});
       },
       // The table stays in float, its rows are quantized for the sum.
       {{"gather", "ff->q"}, {"sum", "aa->q"}}},
  };
}

TEST(PlacementTest, QuantizersFollowTheFusionsWhateverTheBlock) {
  for (const Fragment& fragment : Fragments()) {
    Graph g;
    graph::ValueId x = Conv(&g, "first", Image(&g, 1), 1, 4);
    x = fragment.build(&g, x);
    g.AddOutput(Conv(&g, "last", x, 4, 2));
    ASSERT_TRUE(graph::InferShapes(g).ok()) << fragment.name;
    Numerics numerics = RuntimeNumerics();
    numerics.quantized_ops.insert("Transpose");
    const auto placed = PlaceQuantizers(g, numerics);
    ASSERT_TRUE(placed.ok()) << fragment.name;
    for (const auto& [node, around] : fragment.around) {
      EXPECT_EQ(Around(placed->graph, node), around)
          << fragment.name << ": " << node;
    }
    EXPECT_EQ(Around(placed->graph, "last"), "awf->q") << fragment.name;
  }
}

TEST(PlacementTest, WhatConcatPutsTogetherHasOneScale) {
  Graph g;
  const graph::ValueId x = Image(&g, 1);
  const graph::ValueId a = Conv(&g, "a", x, 1, 2), b = Conv(&g, "b", x, 1, 2);
  const graph::ValueId pooled =
      Op(&g, "MaxPool", "pool", {b},
         {{"kernel_shape", std::vector<int64_t>{1, 1}}});
  g.AddOutput(Conv(&g, "last",
                   Op(&g, "Concat", "cat", {a, pooled}, {{"axis", int64_t{1}}}),
                   4, 2));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  const Graph placed = PlaceQuantizers(g, RuntimeNumerics())->graph;
  std::set<graph::ValueId> scales;
  for (const char* node : {"pool", "cat", "last"}) {
    scales.insert(QuantizerInto(placed, node)->inputs[1]);
  }
  scales.insert(QuantizerInto(placed, "cat", 1)->inputs[1]);
  EXPECT_EQ(scales.size(), 1u);
  EXPECT_NE(QuantizerInto(placed, "a")->inputs[1], *scales.begin());
}

// conv1 (6 x 6 image), relu, conv2.
Graph TwoConvolutions() {
  Graph g;
  const ValueId relu =
      Op(&g, "Relu", "relu", {Conv(&g, "conv1", Image(&g, 3), 3, 4)});
  g.AddOutput(Conv(&g, "conv2", relu, 4, 5));
  return g;
}

TEST(PlacementTest, ALayerOf16BitsLeavesItsActivationsInFloat) {
  Numerics numerics = RuntimeNumerics();
  numerics.float_bits = {16};
  numerics.bits = {{"conv1", 16}};
  const Graph q = Place(TwoConvolutions(), numerics).graph;
  EXPECT_EQ(QuantizerInto(q, "conv1"), nullptr);
  const Node* weight = QuantizerInto(q, "conv1", 1);
  ASSERT_NE(weight, nullptr);
  EXPECT_EQ(weight->String("dtype", ""), "int16");
  EXPECT_EQ(weight->Int("qmax", 0), 32767);
  // Nor does a quantizer stand inside of what is fused to it.
  EXPECT_EQ(QuantizerInto(q, "relu"), nullptr);
  EXPECT_NE(QuantizerInto(q, "conv2"), nullptr);
  EXPECT_EQ(QuantizerInto(q, "conv2", 1)->String("dtype", ""), "int8");
}

TEST(PlacementTest, BlocksOfAConvolutionRunOverAllThatAChannelReads) {
  Numerics numerics = RuntimeNumerics();
  numerics.block_size = 16;
  numerics.float_activations = true;
  numerics.packed = true;
  numerics.weight_bits = 4;
  const Graph q = Place(TwoConvolutions(), numerics).graph;
  const Node* weight = QuantizerInto(q, "conv1", 1);
  EXPECT_EQ(weight->Int("axis", 0), 1);
  EXPECT_EQ(weight->Int("rows", 0), 1);
  EXPECT_EQ(weight->String("dtype", ""), "int4");
  // 27 inputs.
  EXPECT_EQ(q.ConstantOf(weight->inputs[1])->dims(),
            (std::vector<int64_t>{4, 2}));
}

TEST(PlacementTest, AffineWeightsUseEveryLevelOfTheirStorage) {
  Numerics numerics = RuntimeNumerics();
  numerics.weight_scheme = "affine";
  for (const auto& [bits, packed, dtype] : {std::tuple{4, true, "uint4"},
                                            {4, false, "uint8"},
                                            {8, true, "uint8"},
                                            {16, true, "uint16"}}) {
    numerics.weight_bits = bits;
    numerics.packed = packed;
    const Graph q = Place(TwoConvolutions(), numerics).graph;
    const Node* weight = QuantizerInto(q, "conv1", 1);
    EXPECT_EQ(weight->String("dtype", ""), dtype);
    EXPECT_EQ(weight->Int("qmin", -1), 0);
    EXPECT_EQ(weight->Int("qmax", 0), (1 << bits) - 1);
    EXPECT_FALSE(weight->Has("scheme"));
  }
}

TEST(PlacementTest, ActivationsAloneAreQuantizedWhereWeightsAreFloat) {
  Numerics numerics = RuntimeNumerics();
  numerics.weight_scheme = "float";
  numerics.activation_bits = 16;
  const Graph q = Place(TwoConvolutions(), numerics).graph;
  EXPECT_EQ(Count(q, "weight"), 0);
  EXPECT_EQ(Count(q, "activation"), 3);
  EXPECT_EQ(QuantizerInto(q, "conv1")->String("dtype", ""), "uint16");
  EXPECT_EQ(QuantizerInto(q, "conv1")->Int("qmax", 0), 65535);
}

}  // namespace
}  // namespace condense::quantization
