// Passes keep what a graph computes: outputs before and after on random inputs.

#include "gtest/gtest.h"
#include "workers/engine/graph/passes/common_subexpressions.h"
#include "workers/engine/graph/passes/fuse_bias.h"
#include "workers/engine/graph/passes/fuse_gelu.h"
#include "workers/engine/graph/passes/fuse_group_norm.h"
#include "workers/engine/graph/passes/fuse_hard_swish.h"
#include "workers/engine/graph/passes/fuse_layer_norm.h"
#include "workers/engine/graph/passes/fuse_swish.h"
#include "workers/engine/graph/passes/lift_quantizers.h"
#include "workers/engine/runtime/fold.h"
#include "workers/engine/runtime/pass_testing.h"

namespace condense::runtime {
namespace {

using graph::Graph;
using graph::ValueId;

TEST(FuseGeluTest, EveryOrderOfTheFactors) {
  for (int form = 0; form < 3; ++form) {
    Maker m({2, 8});
    const ValueId erf =
        form == 1 ? m.Op("Erf", {m.Op("Mul", {m.x, m.Number(0.70710678f)})})
                  : m.Op("Erf", {m.Op("Div", {m.x, m.Number(1.41421356f)})});
    const ValueId sum = m.Op("Add", {erf, m.Number(1)});
    ValueId y;
    if (form == 0) {
      y = m.Op("Mul", {m.Op("Mul", {m.x, sum}), m.Number(0.5f)});
    } else if (form == 1) {
      y = m.Op("Mul", {m.Op("Mul", {m.x, m.Number(0.5f)}), sum});
    } else {
      y = m.Op("Mul", {m.x, m.Op("Mul", {m.Number(0.5f), sum})});
    }
    ExpectFuses(graph::FuseGelu(), m.Done(y), "Gelu");
  }
}

TEST(FuseHardSwishTest, ThroughHardSigmoidAndThroughClip) {
  Maker m({2, 8});
  ExpectFuses(
      graph::FuseHardSwish(),
      m.Done(m.Op("Mul", {m.x, m.Op("HardSigmoid", {m.x},
                                    {{"alpha", 1.0f / 6}, {"beta", 0.5f}})})),
      "HardSwish");
  Maker c({2, 8});
  const ValueId clip =
      c.Op("Clip", {c.Op("Add", {c.x, c.Number(3)}), c.Number(0), c.Number(6)});
  ExpectFuses(graph::FuseHardSwish(),
              c.Done(c.Op("Div", {c.Op("Mul", {c.x, clip}), c.Number(6)})),
              "HardSwish");
}

TEST(FuseSwishTest, WithAndWithoutAFactor) {
  Maker m({2, 8});
  ExpectFuses(graph::FuseSwish(),
              m.Done(m.Op("Mul", {m.Op("Sigmoid", {m.x}), m.x})), "Swish");
  Maker scaled({2, 8});
  const ValueId gate = scaled.Op(
      "Sigmoid", {scaled.Op("Mul", {scaled.Number(1.702f), scaled.x})});
  ExpectFuses(graph::FuseSwish(),
              scaled.Done(scaled.Op("Mul", {scaled.x, gate})), "Swish");
}

TEST(FuseSwishTest, AGateThatOthersReadStays) {
  Maker m({2, 8});
  const ValueId gate = m.Op("Sigmoid", {m.x});
  Graph graph = m.Done(m.Op("Add", {m.Op("Mul", {m.x, gate}), gate}));
  EXPECT_FALSE(*graph::FuseSwish().Run(graph));
}

TEST(FuseSwishTest, ItsGradientIsThatOfTheProduct) {
  const torch::Tensor x =
      (3 * torch::randn({64}, torch::kFloat64)).requires_grad_();
  for (float alpha : {1.0f, 1.702f}) {
    Graph graph;
    const ValueId in =
        graph.AddInput("x", graph::DType::kFloat64, graph::Shape{64});
    graph.AddOutput(
        graph.node(graph.AddNode("Swish", "", {in}, {"y"}, {{"alpha", alpha}}))
            .outputs[0]);
    auto executor = Executor::Create(graph);
    ASSERT_TRUE(executor.ok());
    const torch::Tensor gate = torch::sigmoid(x * double{alpha});
    const torch::Tensor want = gate + alpha * x * gate * (1 - gate);
    const torch::Tensor y = (*executor)->Forward({x})[0];
    EXPECT_TRUE(torch::allclose(torch::autograd::grad({y.sum()}, {x})[0], want,
                                1e-6, 1e-9));
  }
}

TEST(FuseBiasTest, IntoConvolutionsAndMatrices) {
  Maker conv({2, 3, 5, 5});
  const ValueId y = conv.Op("Conv", {conv.x, conv.Random({4, 3, 3, 3})});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(
                graph::FuseBias(),
                conv.Done(conv.Op("Add", {conv.Random({1, 4, 1, 1}), y})))),
            "Conv ");
  Maker up({2, 3, 5, 5});
  const ValueId z = up.Op("ConvTranspose", {up.x, up.Random({3, 4, 2, 2})});
  EXPECT_EQ(
      Ops(ExpectKeepsOutputs(graph::FuseBias(),
                             up.Done(up.Op("Add", {z, up.Random({4, 1, 1})})))),
      "ConvTranspose ");
  Maker dense({2, 3});
  const ValueId p = dense.Op("MatMul", {dense.x, dense.Random({3, 4})});
  EXPECT_EQ(Ops(ExpectKeepsOutputs(
                graph::FuseBias(),
                dense.Done(dense.Op("Add", {p, dense.Random({1, 4})})))),
            "Gemm ");
}

TEST(FuseBiasTest, WhatIsNoBiasStays) {
  // One number for all channels may be part of an activation.
  Maker number({2, 3, 5, 5});
  const ValueId y = number.Op("Conv", {number.x, number.Random({4, 3, 1, 1})});
  Graph shifted = number.Done(number.Op("Add", {y, number.Number(3)}));
  EXPECT_FALSE(*graph::FuseBias().Run(shifted));
  // A constant per position.
  Maker place({2, 3, 4, 4});
  const ValueId z = place.Op("Conv", {place.x, place.Random({4, 3, 1, 1})});
  Graph per_place = place.Done(place.Op("Add", {z, place.Random({4})}));
  EXPECT_FALSE(*graph::FuseBias().Run(per_place));
}

Graph DecomposedLayerNorm() {
  Maker m({2, 3, 4});
  const Attributes last = {{"axes", std::vector<int64_t>{-1}},
                           {"keepdims", int64_t{1}}};
  const ValueId centred = m.Op("Sub", {m.x, m.Op("ReduceMean", {m.x}, last)});
  const ValueId variance =
      m.Op("ReduceMean", {m.Op("Pow", {centred, m.Number(2)})}, last);
  const ValueId root = m.Op("Sqrt", {m.Op("Add", {variance, m.Number(1e-5f)})});
  const ValueId scaled =
      m.Op("Mul", {m.Op("Div", {centred, root}), m.Floats({4}, {1, 2, 3, 4})});
  return m.Done(m.Op("Add", {scaled, m.Floats({4}, {0, 1, 0, -1})}));
}

TEST(FuseLayerNormTest, WithScaleAndBias) {
  ExpectFuses(graph::FuseLayerNorm(), DecomposedLayerNorm(),
              "LayerNormalization");
}

TEST(FuseGroupNormTest, AsPyTorchExportsIt) {
  Maker m({2, 4, 3, 3});
  const ValueId groups = m.Op("Reshape", {m.x, m.Ints({0, 2, -1})});
  const ValueId normal =
      m.Op("InstanceNormalization",
           {groups, m.Floats({2}, {1, 1}), m.Floats({2}, {0, 0})});
  const ValueId back = m.Op("Reshape", {normal, m.Ints({2, 4, 3, 3})});
  const ValueId scaled = m.Op("Mul", {back, m.Floats({4, 1, 1}, {1, 2, 3, 4})});
  ExpectFuses(graph::FuseGroupNorm(),
              m.Done(m.Op("Add", {scaled, m.Floats({4, 1, 1}, {0, 1, 2, 3})})),
              "GroupNormalization");
}

TEST(CommonSubexpressionsTest, EqualNodesBecomeOneButNotOutputs) {
  Maker m({2, 4});
  const ValueId a = m.Op("Relu", {m.x}), b = m.Op("Relu", {m.x});
  const Graph graph = m.Done(m.Op("Add", {a, b}));
  ExpectFuses(graph::CommonSubexpressions(), graph, "Relu");
}

TEST(LiftQuantizersTest, PairsAndStoredWeightsBecomeFakeQuantize) {
  Maker m({1, 2});
  const ValueId zero =
      m.graph.AddConstant("z", graph::Tensor::Scalar<uint8_t>(128));
  const ValueId q = m.Op("QuantizeLinear", {m.x, m.Number(0.1f), zero});
  const ValueId dq = m.Op("DequantizeLinear", {q, m.Number(0.1f), zero});
  const ValueId levels = m.graph.AddConstant(
      "w", graph::Tensor::Of<int8_t>({2, 2}, std::vector<int8_t>{1, -2, 3, 4}));
  const ValueId zeros = m.graph.AddConstant(
      "wz", graph::Tensor::Of<int8_t>({2}, std::vector<int8_t>{0, 0}));
  const ValueId w =
      m.Op("DequantizeLinear", {levels, m.Floats({2}, {0.5f, 0.25f}), zeros},
           {{"axis", int64_t{1}}});
  const Graph before = m.Done(m.Op("MatMul", {dq, w}));
  Graph after = before;
  EXPECT_TRUE(*graph::LiftQuantizers().Run(after));
  EXPECT_EQ(CountOf(after, "FakeQuantize"), 2);
  EXPECT_EQ(CountOf(after, "DequantizeLinear"), 0);
  EXPECT_FALSE(*graph::LiftQuantizers().Run(after));
  const torch::Tensor x = torch::tensor({{0.33f, -0.71f}});
  // 0.3 * (0.5, -0.5) - 0.7 * (1.5, 1.0)
  const torch::Tensor y = Forward(after, x);
  EXPECT_NEAR(y[0][0].item<float>(), -0.9f, 1e-6);
  EXPECT_NEAR(y[0][1].item<float>(), -0.85f, 1e-6);
  EXPECT_TRUE(torch::allclose(y, Forward(before, x)));
}

TEST(FoldNodesTest, ConstantsAreEvaluatedByTheirKernels) {
  Maker m({2, 2});
  const ValueId root = m.Op("Sqrt", {m.Number(9)});
  Graph graph = m.Done(m.Op("Mul", {m.x, root}));
  EXPECT_TRUE(*FoldNodes(&graph));
  EXPECT_EQ(graph.order().size(), 1u);
  EXPECT_FALSE(*FoldNodes(&graph));
  EXPECT_EQ(Forward(graph, torch::ones({2, 2}))[0][0].item<float>(), 3);
}

}  // namespace
}  // namespace condense::runtime
