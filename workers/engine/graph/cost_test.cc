// Costs against values computed by hand.

#include "workers/engine/graph/cost.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/bodies.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/parse.h"

namespace condense::graph {
namespace {

std::string Zeros(const std::string& name, const std::string& dtype,
                  const std::vector<int64_t>& dims) {
  const std::string bytes(Tensor::ByteSize(DTypeFromName(dtype), dims), '\0');
  return absl::StrCat("const ", name, ": ", dtype, " [",
                      absl::StrJoin(dims, ", "), "] = base64 \"",
                      absl::Base64Escape(bytes), "\"\n");
}

Graph Inferred(const std::string& statements) {
  auto graph = Parse(absl::StrCat("graph g opset 17 {", statements, "}"));
  EXPECT_TRUE(graph.ok()) << graph.status();
  EXPECT_TRUE(InferShapes(*graph).ok()) << InferShapes(*graph);
  return *std::move(graph);
}

struct Case {
  const char* what;
  std::string statements;
  int64_t macs;
  int64_t parameters;
  int64_t activation_bytes;
};

TEST(CostTest, OneNodeCostsWhatAHandComputes) {
  const std::string image = "input x: float32 [N, 8, 10, 12] ";
  const Case cases[] = {
      {"Conv 3x3 with padding and bias: 16*10*12 outputs of 8*9",
       image + Zeros("w", "float32", {16, 8, 3, 3}) +
           Zeros("b", "float32", {16}) +
           "y = Conv(x, w, b) {pads=[1, 1, 1, 1]} output y",
       16 * 10 * 12 * 8 * 9, 16 * 8 * 9 + 16, 16 * 10 * 12 * 4},
      {"strided Conv: 5*6 places",
       image + Zeros("w", "float32", {16, 8, 3, 3}) +
           "y = Conv(x, w) {pads=[1, 1, 1, 1], strides=[2, 2]} output y",
       16 * 5 * 6 * 8 * 9, 16 * 8 * 9, 16 * 5 * 6 * 4},
      {"grouped Conv: a filter reads 8 / 4 channels",
       image + Zeros("w", "float32", {16, 2, 3, 3}) +
           "y = Conv(x, w) {pads=[1, 1, 1, 1], group=4} output y",
       16 * 10 * 12 * 2 * 9, 16 * 2 * 9, 16 * 10 * 12 * 4},
      {"depthwise Conv: a filter reads one channel",
       image + Zeros("w", "float32", {8, 1, 3, 3}) +
           "y = Conv(x, w) {pads=[1, 1, 1, 1], group=8} output y",
       8 * 10 * 12 * 9, 8 * 9, 8 * 10 * 12 * 4},
      {"ConvTranspose: each input is spread over 4 * 2 * 2",
       image + Zeros("w", "float32", {8, 4, 2, 2}) +
           "y = ConvTranspose(x, w) {strides=[2, 2]} output y",
       8 * 10 * 12 * 4 * 4, 8 * 4 * 4, 4 * 20 * 24 * 4},
      {"grouped ConvTranspose",
       image + Zeros("w", "float32", {8, 2, 2, 2}) +
           "y = ConvTranspose(x, w) {strides=[2, 2], group=2} output y",
       8 * 10 * 12 * 2 * 4, 8 * 2 * 4, 4 * 20 * 24 * 4},
      {"Gemm",
       "input x: float32 [N, 20] " + Zeros("w", "float32", {30, 20}) +
           Zeros("b", "float32", {30}) +
           "y = Gemm(x, w, b) {transB=1} output y",
       20 * 30, 20 * 30 + 30, 30 * 4},
      {"Gemm with transA: the inner size is the first",
       "input x: float32 [20, 5] " + Zeros("w", "float32", {20, 30}) +
           "y = Gemm(x, w) {transA=1} output y",
       5 * 20 * 30, 20 * 30, 5 * 30 * 4},
      {"MatMul with a batch of 6 * 7",
       "input x: float32 [6, 7, 5, 20] input z: float32 [6, 7, 20, 3] "
       "y = MatMul(x, z) output y",
       6 * 7 * 5 * 20 * 3, 0, 6 * 7 * 5 * 3 * 4},
      {"MatMul of vectors",
       "input x: float32 [20] input z: float32 [20] y = MatMul(x, z) output y",
       20, 0, 4},
      {"Einsum as a batched product",
       "input x: float32 [6, 5, 20] input z: float32 [6, 20, 3] "
       "y = Einsum(x, z) {equation=\"bij, bjk -> bik\"} output y",
       6 * 5 * 20 * 3, 0, 6 * 5 * 3 * 4},
      {"LSTM: 7 steps of four gates over 10 inputs and 16 of state",
       "input x: float32 [7, N, 10] " + Zeros("w", "float32", {1, 64, 10}) +
           Zeros("r", "float32", {1, 64, 16}) +
           "y, h, c = LSTM(x, w, r) {hidden_size=16} output y",
       7 * (64 * 10 + 64 * 16), 64 * 10 + 64 * 16, (7 * 16 + 16 + 16) * 4},
      {"bidirectional GRU: three gates twice",
       "input x: float32 [7, N, 10] " + Zeros("w", "float32", {2, 48, 10}) +
           Zeros("r", "float32", {2, 48, 16}) + Zeros("b", "float32", {2, 96}) +
           "y, _ = GRU(x, w, r, b) {hidden_size=16, "
           "direction=\"bidirectional\"} output y",
       7 * 2 * (48 * 10 + 48 * 16), 2 * (48 * 10 + 48 * 16) + 2 * 96,
       7 * 2 * 16 * 4},
      {"QLinearConv: int8 weights and int32 biases are parameters",
       "input x: uint8 [1, 8, 4, 4] const s: float32 [] = {0.5} "
       "const z: uint8 [] = {0} const wz: int8 [] = {0} " +
           Zeros("w", "int8", {2, 8, 1, 1}) + Zeros("b", "int32", {2}) +
           "y = QLinearConv(x, s, z, w, s, wz, s, z, b) output y",
       2 * 16 * 8, 2 * 8 + 2, 2 * 16},
      {"BatchNormalization: scale and shift, not the statistics",
       image + Zeros("s", "float32", {8}) +
           "y = BatchNormalization(x, s, s, s, s) output y",
       0, 8, 8 * 10 * 12 * 4},
      {"Clip: bounds are no parameters",
       "input x: float32 [N, 5] const a: float32 [] = {0.0} "
       "y = Clip(x, a) output y",
       0, 0, 20},
      {"Half precision",
       "input x: float16 [N, 20] " + Zeros("w", "float16", {20, 3}) +
           "y = MatMul(x, w) output y",
       60, 60, 6},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const Graph graph = Inferred(c.statements);
    const Cost cost = CostPerNode(graph)[graph.order()[0]];
    EXPECT_EQ(cost.macs, c.macs);
    EXPECT_EQ(cost.parameters, c.parameters);
    EXPECT_EQ(cost.activation_bytes, c.activation_bytes);
  }
}

TEST(CostTest, AttentionIsTheSumOfItsProducts) {
  // 10 tokens of 2 heads of 8; scores 10 x 10 a head.
  const Graph graph = Inferred(
      "input q: float32 [N, 2, 10, 8] input k: float32 [N, 2, 8, 10] "
      "input v: float32 [N, 2, 10, 8] s = MatMul(q, k) p = Softmax(s) "
      "y = MatMul(p, v) output y");
  EXPECT_EQ(CostOf(graph).macs, 2 * (10 * 8 * 10) + 2 * (10 * 10 * 8));
}

TEST(CostTest, ASharedConstantCountsOnce) {
  const Graph graph =
      Inferred("input x: float32 [3, 3] " + Zeros("w", "float32", {3, 3}) +
               "a = MatMul(x, w) y = MatMul(a, w) output y");
  EXPECT_EQ(CostOf(graph).parameters, 9);
  EXPECT_EQ(CostOf(graph).parameter_bytes, 36);
  EXPECT_EQ(CostPerNode(graph)[graph.order()[1]].parameters, 0);
}

TEST(CostTest, BodiesCountByTheirTurns) {
  const std::string body =
      "graph b opset 17 { input i: int64 [] input c: bool [] input s input k " +
      Zeros("w", "float32", {3, 5}) +
      "t = MatMul(k, w) output c output s output t }";
  const auto loop = [&](const std::string& trips) {
    return Inferred(
        "input x: float32 [2, 3] input n: int64 [] "
        "const four: int64 [] = {4} _, y = Loop(" +
        trips + ", _, x, x) {captures=1, body=" + body + "} @ loop output y");
  };
  EXPECT_EQ(CostOf(loop("four")).macs, 4 * 2 * 3 * 5);
  EXPECT_EQ(CostOf(loop("n")).macs, 2 * 3 * 5) << "once if nobody knows";
  EXPECT_EQ(CostOf(loop("n")).parameters, 15);
  const auto layers = InnerLayers(loop("n"));
  ASSERT_EQ(layers.size(), 1u);
  EXPECT_EQ(layers[0].name, "loop/t");
  EXPECT_EQ(layers[0].op, "MatMul");
  EXPECT_EQ(layers[0].parameters, 15);
  EXPECT_EQ(layers[0].bytes, 60);
  EXPECT_EQ(layers[0].reason,
            "it stands in a body of Loop (node loop), which depends on data");
}

TEST(CostTest, OfAnIfTheGreaterBranchCounts) {
  const Graph graph = Inferred(
      "input x: float32 [2, 3] input c: bool [] y = If(c, x) {captures=1, "
      "then_branch=graph t opset 17 { input x " +
      Zeros("w", "float32", {3, 4}) +
      "t = MatMul(x, w) output t }, else_branch=graph e opset 17 { input x " +
      Zeros("w", "float32", {3, 5}) + "t = MatMul(x, w) output t }} output y");
  EXPECT_EQ(CostOf(graph).macs, 2 * 3 * 5);
  EXPECT_EQ(CostOf(graph).parameters, 3 * 4 + 3 * 5);
}

}  // namespace
}  // namespace condense::graph
