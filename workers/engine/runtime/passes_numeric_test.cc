// Passes keep what a graph computes: outputs before and after on random inputs.

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/common_subexpressions.h"
#include "workers/engine/graph/passes/fuse_gelu.h"
#include "workers/engine/graph/passes/fuse_group_norm.h"
#include "workers/engine/graph/passes/fuse_hard_swish.h"
#include "workers/engine/graph/passes/fuse_layer_norm.h"
#include "workers/engine/graph/passes/lift_quantizers.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/fold.h"

namespace condense::runtime {
namespace {

using graph::DType;
using graph::Graph;
using graph::Shape;
using graph::ValueId;
using Attributes = std::map<std::string, graph::Attribute>;

// Builds small graphs: one line per node.
struct Maker {
  Graph graph;
  ValueId x;
  explicit Maker(Shape shape) {
    x = graph.AddInput("x", DType::kFloat32, std::move(shape));
  }
  ValueId Op(const std::string& op, std::vector<ValueId> inputs,
             Attributes attrs = {}) {
    const auto id = graph.AddNode(op, "", std::move(inputs), {op}, attrs);
    return graph.node(id).outputs[0];
  }
  ValueId Number(float v) {
    return graph.AddConstant("n", graph::Tensor::Scalar<float>(v));
  }
  ValueId Floats(std::vector<int64_t> dims, const std::vector<float>& v) {
    return graph.AddConstant("f", graph::Tensor::Of<float>(dims, v));
  }
  ValueId Ints(const std::vector<int64_t>& v) {
    return graph.AddConstant(
        "i", graph::Tensor::Of<int64_t>({static_cast<int64_t>(v.size())}, v));
  }
  Graph Done(ValueId y) {
    graph.AddOutput(y);
    EXPECT_TRUE(graph::InferShapes(graph).ok());
    return graph;
  }
};

torch::Tensor Forward(const Graph& graph, const torch::Tensor& x) {
  auto executor = Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  return (*executor)->Forward({x})[0];
}

int CountOf(const Graph& graph, const std::string& op) {
  int count = 0;
  for (graph::NodeId id : graph.order()) count += graph.node(id).op == op;
  return count;
}

// The pass leaves `nodes` nodes, one of them `op`; twice changes nothing.
void ExpectFuses(const graph::Pass& pass, const Graph& before,
                 const std::string& op) {
  Graph after = before;
  auto changed = pass.Run(after);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_TRUE(*changed);
  ASSERT_TRUE(graph::InferShapes(after).ok());
  EXPECT_EQ(CountOf(after, op), 1);
  EXPECT_FALSE(*pass.Run(after)) << "not idempotent";
  torch::manual_seed(3);
  const auto& shape = *before.value(before.inputs()[0]).shape;
  const torch::Tensor x = 3 * torch::randn(*graph::KnownDims(shape));
  const torch::Tensor a = Forward(before, x), b = Forward(after, x);
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(),
            1e-5 * std::max(1.0, a.abs().max().item<double>()));
}

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
