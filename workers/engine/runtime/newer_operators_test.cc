// Operators and meanings newer than opset 17, which the conformance suite of
// the shared folder does not have, against hand-computed values; and the list
// of what the importer lets in.

#include <cmath>

#include "gtest/gtest.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using graph::DType;
using graph::Graph;
using graph::ValueId;
using Attributes = std::map<std::string, graph::Attribute>;

std::vector<float> Apply(const std::string& op,
                         const std::vector<torch::Tensor>& inputs,
                         Attributes attrs = {}) {
  Graph graph;
  std::vector<ValueId> ids;
  for (const torch::Tensor& input : inputs) {
    ids.push_back(graph.AddConstant("x", FromTorch(input)));
  }
  const auto node = graph.AddNode(op, op, ids, {"y"}, std::move(attrs));
  graph.AddOutput(graph.node(node).outputs[0]);
  auto executor = Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  const torch::Tensor y =
      (*executor)->Forward({})[0].to(torch::kFloat32).contiguous();
  return {y.data_ptr<float>(), y.data_ptr<float>() + y.numel()};
}

void ExpectNear(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5);
}

TEST(NewerOperatorsTest, GeluMishAndSwish) {
  const torch::Tensor x = torch::tensor({-1.0f, 0.0f, 2.0f});
  // x/2 (1 + erf(x/sqrt 2)): -0.158655, 0, 1.954500.
  ExpectNear(Apply("Gelu", {x}), {-0.1586553f, 0, 1.9544997f});
  ExpectNear(Apply("Gelu", {x}, {{"approximate", std::string("tanh")}}),
             {-0.1588080f, 0, 1.9545977f});
  ExpectNear(Apply("Mish", {x}), {-0.3034015f, 0, 1.9439590f});
  ExpectNear(Apply("Swish", {x}), {-0.2689414f, 0, 1.7615942f});
}

TEST(NewerOperatorsTest, GroupNormalizationScalesPerChannel) {
  // Groups {1, 3} and {2, 6}: normalised to -1 and 1.
  const torch::Tensor x =
      torch::tensor({1.0f, 3.0f, 2.0f, 6.0f}).reshape({1, 4, 1, 1});
  ExpectNear(Apply("GroupNormalization",
                   {x, torch::tensor({1.0f, 2.0f, 3.0f, 4.0f}),
                    torch::tensor({0.0f, 0.0f, 1.0f, 1.0f})},
                   {{"num_groups", int64_t{2}}, {"epsilon", 0.0f}}),
             {-1, 2, -2, 5});
}

TEST(NewerOperatorsTest, RmsNormalization) {
  // sqrt((9 + 16) / 2) = 3.5355339
  ExpectNear(Apply("RMSNormalization",
                   {torch::tensor({3.0f, 4.0f}), torch::tensor({1.0f, 2.0f})},
                   {{"epsilon", 0.0f}}),
             {0.8485281f, 2.2627417f});
}

TEST(NewerOperatorsTest, BitwiseAndShapes) {
  const torch::Tensor a = torch::tensor({6, 5}, torch::kInt32);
  const torch::Tensor b = torch::tensor({3, 4}, torch::kInt32);
  ExpectNear(Apply("BitwiseAnd", {a, b}), {2, 4});
  ExpectNear(Apply("BitwiseOr", {a, b}), {7, 5});
  ExpectNear(Apply("BitwiseXor", {a, b}), {5, 1});
  ExpectNear(Apply("BitwiseNot", {a}), {-7, -6});
  ExpectNear(Apply("CenterCropPad", {torch::tensor({1.0f, 2.0f, 3.0f, 4.0f}),
                                     torch::tensor({2}, torch::kInt64)}),
             {2, 3});
}

TEST(NewerOperatorsTest, PadTakesAxesAndWraps) {
  ExpectNear(Apply("Pad",
                   {torch::tensor({{1.0f, 2.0f, 3.0f}}),
                    torch::tensor({1, 1}, torch::kInt64), torch::tensor(0.0f),
                    torch::tensor({1}, torch::kInt64)},
                   {{"mode", std::string("wrap")}}),
             {3, 1, 2, 3, 1});
}

TEST(NewerOperatorsTest, ResizeAntialiasesAndKeepsTheAspect) {
  const torch::Tensor x =
      torch::tensor({1.0f, 2.0f, 3.0f, 4.0f}).reshape({1, 1, 1, 4});
  const torch::Tensor none = torch::empty({0});
  // Halved: triangles of width 4 around .5 and 2.5, weights 1/8, 3/8, 3/8, 1/8;
  // beyond the border lies the border: (1 + 3 + 6 + 3) / 8, and mirrored.
  ExpectNear(
      Apply("Resize", {x, none, torch::tensor({1.0f, 1.0f, 1.0f, 0.5f})},
            {{"mode", std::string("linear")}, {"antialias", int64_t{1}}}),
      {13.0f / 8, 27.0f / 8});
  // Without what lies beyond: (3 + 6 + 3) / 7.
  ExpectNear(Apply("Resize", {x, none, torch::tensor({1.0f, 1.0f, 1.0f, 0.5f})},
                   {{"mode", std::string("linear")},
                    {"antialias", int64_t{1}},
                    {"exclude_outside", int64_t{1}}}),
             {12.0f / 7, 23.0f / 7});
  // Wanted 4 x 2 of 1 x 4 without getting larger: a half, so 1 x 2 of height 1.
  const auto y =
      Apply("Resize", {x, none, none, torch::tensor({4, 2}, torch::kInt64)},
            {{"mode", std::string("nearest")},
             {"axes", std::vector<int64_t>{2, 3}},
             {"keep_aspect_ratio_policy", std::string("not_larger")}});
  EXPECT_EQ(y.size(), 2u);
}

TEST(NewerOperatorsTest, BlocksAndFourBitsOfDequantizeLinear) {
  Graph graph;
  // int4 levels 1, -2, 7, -8, two to a byte, low first.
  const ValueId levels = graph.AddConstant(
      "w", graph::Tensor(DType::kInt4, {4}, std::string("\xe1\x87", 2)));
  const ValueId scale = graph.AddConstant(
      "s", graph::Tensor::Of<float>({2}, std::vector<float>{0.5f, 2.0f}));
  const auto node =
      graph.AddNode("DequantizeLinear", "", {levels, scale}, {"y"},
                    {{"axis", int64_t{0}}, {"block_size", int64_t{2}}});
  graph.AddOutput(graph.node(node).outputs[0]);
  auto executor = Executor::Create(graph);
  ASSERT_TRUE(executor.ok()) << executor.status();
  const torch::Tensor y = (*executor)->Forward({})[0];
  const float want[] = {0.5f, -1, 14, -16};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(y[i].item<float>(), want[i]);
}

TEST(NewerOperatorsTest, DilatedAveragePoolCountsWhatItSees) {
  const torch::Tensor x =
      torch::tensor({1.0f, 2.0f, 3.0f, 4.0f, 5.0f}).reshape({1, 1, 5});
  ExpectNear(Apply("AveragePool", {x},
                   {{"kernel_shape", std::vector<int64_t>{2}},
                    {"dilations", std::vector<int64_t>{2}},
                    {"pads", std::vector<int64_t>{1, 0}}}),
             {2, 2, 3, 4});
}

}  // namespace
}  // namespace condense::runtime
