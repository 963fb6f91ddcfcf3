// The kernels against plain LibTorch calls and hand-computed values.

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/runtime/executor.h"

namespace condense::runtime {
namespace {

using graph::DType;
using graph::Graph;
using graph::ValueId;
using Attributes = std::map<std::string, graph::Attribute>;

// Runs one operator on these inputs; constants are given as tensors too.
torch::Tensor Apply(const std::string& op, std::vector<torch::Tensor> inputs,
                    Attributes attrs = {},
                    std::vector<graph::Tensor> constants = {}) {
  Graph graph;
  std::vector<ValueId> ids;
  for (size_t i = 0; i < inputs.size(); ++i) {
    graph::Shape shape;
    for (int64_t size : inputs[i].sizes()) shape.push_back(size);
    ids.push_back(graph.AddInput("x" + std::to_string(i), DType::kFloat32,
                                 std::move(shape)));
  }
  for (graph::Tensor& constant : constants) {
    ids.push_back(graph.AddConstant("c", std::move(constant)));
  }
  const auto node = graph.AddNode(op, op, ids, {"y"}, std::move(attrs));
  graph.AddOutput(graph.node(node).outputs[0]);
  auto executor = Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  auto outputs = (*executor)->Run(inputs);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return (*outputs)[0];
}

void ExpectNear(const torch::Tensor& a, const torch::Tensor& b) {
  ASSERT_EQ(a.sizes(), b.sizes());
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-5);
}

graph::Tensor Ints(const std::vector<int64_t>& values) {
  return graph::Tensor::Of<int64_t>({static_cast<int64_t>(values.size())},
                                    values);
}

using Pads = std::vector<int64_t>;

TEST(KernelsTest, ConvolutionsWithStridesDilationsGroupsAndUnevenPads) {
  torch::manual_seed(1);
  const torch::Tensor x = torch::randn({2, 4, 7, 7});
  const torch::Tensor w = torch::randn({6, 2, 3, 3});
  const torch::Tensor b = torch::randn({6});
  ExpectNear(Apply("Conv", {x},
                   {{"group", int64_t{2}},
                    {"strides", Pads{2, 1}},
                    {"dilations", Pads{1, 2}},
                    {"pads", Pads{1, 2, 1, 2}}},
                   {FromTorch(w), FromTorch(b)}),
             at::conv2d(x, w, b, {2, 1}, {1, 2}, {1, 2}, 2));
  // One more column on the left, two more rows below.
  ExpectNear(
      Apply("Conv", {x}, {{"group", int64_t{2}}, {"pads", Pads{0, 1, 2, 0}}},
            {FromTorch(w)}),
      at::conv2d(at::constant_pad_nd(x, {1, 0, 0, 2}), w, torch::Tensor(),
                 {1, 1}, torch::IntArrayRef({0, 0}), {1, 1}, 2));
}

TEST(KernelsTest, PoolingCountsPaddingAsTheAttributeSays) {
  const torch::Tensor x =
      torch::tensor({1.0f, 2.0f, 3.0f, 4.0f}).view({1, 1, 2, 2});
  const Attributes attrs = {{"kernel_shape", Pads{2, 2}},
                            {"pads", Pads{1, 1, 0, 0}}};
  // Top left window holds the 1 alone.
  EXPECT_FLOAT_EQ(Apply("AveragePool", {x}, attrs).flatten()[0].item<float>(),
                  1);
  Attributes counted = attrs;
  counted["count_include_pad"] = int64_t{1};
  EXPECT_FLOAT_EQ(Apply("AveragePool", {x}, counted).flatten()[0].item<float>(),
                  0.25f);
  EXPECT_FLOAT_EQ(Apply("MaxPool", {-x}, attrs).flatten()[0].item<float>(), -1);
}

TEST(KernelsTest, GemmScalesAndTransposes) {
  torch::manual_seed(2);
  const torch::Tensor a = torch::randn({2, 3});
  const torch::Tensor b = torch::randn({4, 3});
  const torch::Tensor c = torch::randn({4});
  ExpectNear(Apply("Gemm", {a},
                   {{"transB", int64_t{1}}, {"alpha", 0.5f}, {"beta", 2.0f}},
                   {FromTorch(b), FromTorch(c)}),
             0.5 * a.mm(b.t()) + 2 * c);
}

TEST(KernelsTest, ElementwiseFunctions) {
  const torch::Tensor x = torch::tensor({-2.0f, -0.5f, 0.0f, 0.5f, 2.0f});
  ExpectNear(Apply("Relu", {x}), at::relu(x));
  ExpectNear(Apply("Sigmoid", {x}), at::sigmoid(x));
  ExpectNear(Apply("LeakyRelu", {x}, {{"alpha", 0.1f}}),
             at::leaky_relu(x, 0.1));
  // max(0, min(1, x / 6 + 0.5)), ONNX's HardSwish.
  ExpectNear(Apply("HardSwish", {x}), x * (x / 6 + 0.5).clamp(0, 1));
  ExpectNear(Apply("HardSigmoid", {x}, {{"alpha", 0.2f}, {"beta", 0.5f}}),
             (0.2 * x + 0.5).clamp(0, 1));
  ExpectNear(Apply("Clip", {x}, {},
                   {graph::Tensor::Scalar<float>(-1),
                    graph::Tensor::Scalar<float>(0.25f)}),
             x.clamp(-1, 0.25));
  ExpectNear(Apply("Erf", {x}), at::erf(x));
  ExpectNear(Apply("Softmax", {x.view({1, 5})}, {{"axis", int64_t{-1}}}),
             at::softmax(x.view({1, 5}), 1));
}

TEST(KernelsTest, PReluHasASlopePerChannel) {
  const torch::Tensor x =
      torch::tensor({-1.0f, -1.0f, 2.0f, -4.0f}).view({1, 2, 1, 2});
  const graph::Tensor slope =
      graph::Tensor::Of<float>({2, 1, 1}, std::vector<float>{0.5f, 0.25f});
  ExpectNear(Apply("PRelu", {x}, {}, {slope}),
             torch::tensor({-0.5f, -0.5f, 2.0f, -1.0f}).view({1, 2, 1, 2}));
}

TEST(KernelsTest, BinaryOperatorsBroadcast) {
  torch::manual_seed(3);
  const torch::Tensor a = torch::randn({2, 3, 4});
  const torch::Tensor b = torch::randn({3, 1}).abs() + 0.5;
  ExpectNear(Apply("Add", {a, b}), a + b);
  ExpectNear(Apply("Sub", {a, b}), a - b);
  ExpectNear(Apply("Mul", {a, b}), a * b);
  ExpectNear(Apply("Div", {a, b}), a / b);
  ExpectNear(Apply("Pow", {b, b}), at::pow(b, b));
}

TEST(KernelsTest, LayoutOperatorsMoveElements) {
  torch::manual_seed(4);
  const torch::Tensor x = torch::randn({2, 3, 4});
  ExpectNear(Apply("Transpose", {x}, {{"perm", Pads{2, 0, 1}}}),
             x.permute({2, 0, 1}));
  // 0 keeps the axis, -1 takes the rest.
  ExpectNear(Apply("Reshape", {x}, {}, {Ints({0, -1})}), x.reshape({2, 12}));
  ExpectNear(Apply("Flatten", {x}, {{"axis", int64_t{2}}}), x.reshape({6, 4}));
  ExpectNear(
      Apply("Slice", {x}, {}, {Ints({1}), Ints({-1}), Ints({2}), Ints({2})}),
      x.slice(2, 1, 3, 2));
  ExpectNear(Apply("Concat", {x, x}, {{"axis", int64_t{1}}}),
             at::cat({x, x}, 1));
  ExpectNear(Apply("Unsqueeze", {x}, {}, {Ints({1, 4})}),
             x.unsqueeze(1).unsqueeze(4));
  ExpectNear(Apply("Squeeze", {x.unsqueeze(1)}, {}, {Ints({1})}), x);
  ExpectNear(Apply("Gather", {x}, {{"axis", int64_t{1}}}, {Ints({2, 0})}),
             x.index_select(1, torch::tensor({2, 0}, torch::kInt64)));
  ExpectNear(Apply("Pad", {x}, {},
                   {Ints({0, 0, 1, 0, 2, 0}), graph::Tensor::Scalar<float>(7)}),
             at::constant_pad_nd(x, {1, 0, 0, 2}, 7));
  ExpectNear(Apply("Expand", {x.slice(0, 0, 1)}, {}, {Ints({5, 3, 4})}),
             x.slice(0, 0, 1).expand({5, 3, 4}));
}

TEST(KernelsTest, ReductionsKeepOrDropTheirAxes) {
  torch::manual_seed(5);
  const torch::Tensor x = torch::randn({2, 3, 4});
  ExpectNear(Apply("ReduceMean", {x},
                   {{"axes", Pads{1, 2}}, {"keepdims", int64_t{0}}}),
             x.mean({1, 2}));
  ExpectNear(Apply("ReduceSum", {x}, {}, {Ints({-1})}), x.sum(-1, true));
  ExpectNear(Apply("ReduceMax", {x}, {{"axes", Pads{0}}}), x.amax(0, true));
  ExpectNear(Apply("GlobalAveragePool", {x.view({2, 3, 2, 2})}),
             x.mean(2).view({2, 3, 1, 1}));
}

TEST(KernelsTest, QuantizeAndDequantizeAreOnnxs) {
  const torch::Tensor x = torch::tensor({0.25f, 0.75f, -1.0f, 200.0f});
  const torch::Tensor q = Apply(
      "QuantizeLinear", {x}, {},
      {graph::Tensor::Scalar<float>(0.5f), graph::Tensor::Scalar<uint8_t>(3)});
  EXPECT_EQ(q.scalar_type(), torch::kUInt8);
  // 0.5 -> 0, 1.5 -> 2, -2, 400 -> 255, each plus 3.
  EXPECT_TRUE(torch::equal(q.to(torch::kInt32),
                           torch::tensor({3, 5, 1, 255}, torch::kInt32)));
}

}  // namespace
}  // namespace condense::runtime
