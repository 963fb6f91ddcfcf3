// Control flow that was resolved computes what its bodies computed.

#include "workers/engine/graph/passes/inline_control_flow.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/parse.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/runtime/executor.h"

namespace condense::runtime {
namespace {

std::vector<torch::Tensor> Outputs(const graph::Graph& graph) {
  auto executor = Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  if (!executor.ok()) return {};
  torch::manual_seed(1);
  std::vector<torch::Tensor> inputs;
  for (graph::ValueId id : graph.inputs()) {
    std::vector<int64_t> dims;
    for (const graph::Dim& dim : *graph.value(id).shape) {
      dims.push_back(dim.known() ? dim.value : 2);
    }
    inputs.push_back(torch::randn(dims));
  }
  const torch::NoGradGuard no_grad;
  auto outputs = (*executor)->Run(inputs);
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? *outputs : std::vector<torch::Tensor>();
}

int ControlFlowIn(const graph::Graph& graph) {
  int count = 0;
  for (graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    count += node.Is("If") || node.Is("Loop") || node.Is("Scan");
  }
  return count;
}

void ExpectSameAfterInlining(const std::string& statements) {
  SCOPED_TRACE(statements);
  auto graph =
      graph::Parse(absl::StrCat("graph g opset 17 {\n", statements, "}"));
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_TRUE(graph::InferShapes(*graph).ok());
  const std::vector<torch::Tensor> before = Outputs(*graph);
  ASSERT_TRUE(graph::Simplify(*graph).ok());
  EXPECT_EQ(ControlFlowIn(*graph), 0);
  const std::vector<torch::Tensor> after = Outputs(*graph);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(torch::equal(before[i], after[i])) << "output " << i;
  }
}

TEST(InlineControlFlowTest, BranchesKeepTheirNumbers) {
  for (const char* condition : {"0", "1"}) {
    ExpectSameAfterInlining(absl::StrCat(
        "input x: float32 [N, 3] const c: bool [] = {", condition, R"(}
      const w: float32 [3] = {0.5, -2.0, 3.0}
      y, z = If(c, x, w) {captures=2,
        then_branch=graph t opset 17 { input x input w
          a = Mul(x, w) output a output x },
        else_branch=graph e opset 17 { input x input w
          b = Add(x, w) s = Sigmoid(b) output s output b }}
      output y output z
    )"));
  }
}

TEST(InlineControlFlowTest, LoopsKeepStatesAndStackedOutputs) {
  // Ends by its trip count, or by its condition in the third turn; the states
  // change by the turn's number.
  for (const char* inputs : {"four, _", "four, yes", "_, yes"}) {
    ExpectSameAfterInlining(absl::StrCat(R"(
      input x: float32 [2, 3] const four: int64 [] = {4}
      const yes: bool [] = {1} const first: int64 [] = {0}
      s, n, all = Loop()",
                                         inputs, R"(, x, first, x) {captures=1,
        body=graph b opset 17 { input i: int64 [] input c: bool []
          input s: float32 [2, 3] input n: int64 [] input x
          const one: int64 [] = {1} const three: int64 [] = {3}
          next = Add(n, one) more = Less(next, three)
          f = Cast(i) {to="float32"} a = Mul(s, f) t = Add(a, x)
          output more output t output next output t }}
      m = Cast(n) {to="float32"}
      output s output m output all
    )"));
  }
}

TEST(InlineControlFlowTest, ScansKeepAxesAndDirections) {
  for (const char* axes :
       {"scan_input_axes=[0]", "scan_input_axes=[1], scan_output_axes=[1]",
        "scan_input_axes=[-1], scan_input_directions=[1]",
        "scan_output_directions=[1], scan_output_axes=[-1]"}) {
    ExpectSameAfterInlining(absl::StrCat(R"(
      input x: float32 [3, 3] input s0: float32 [3]
      s, all = Scan(s0, x) {captures=0, num_scan_inputs=1, )",
                                         axes, R"(,
        body=graph b opset 17 { input s: float32 [3] input e: float32 [3]
          const half: float32 [] = {0.5} h = Mul(s, half) t = Add(h, e)
          output t output t }}
      output s output all
    )"));
  }
}

TEST(InlineControlFlowTest, ALoopInABranchInALoopIsResolvedFromOutside) {
  ExpectSameAfterInlining(R"(
      input x: float32 [2] const two: int64 [] = {2}
      y = Loop(two, _, x) {captures=0, body=graph outer opset 17 {
        input i: int64 [] input c: bool [] input s: float32 [2]
        const zero: int64 [] = {0} first = Equal(i, zero)
        t = If(first, s) {captures=1,
          then_branch=graph t opset 17 { input s const three: int64 [] = {3}
            u = Loop(three, _, s) {captures=0, body=graph inner opset 17 {
              input j: int64 [] input d: bool [] input q: float32 [2]
              r = Tanh(q) output d output r }}
            output u },
          else_branch=graph e opset 17 { input s v = Neg(s) output v }}
        output c output t }}
      output y
    )");
}

}  // namespace
}  // namespace condense::runtime
