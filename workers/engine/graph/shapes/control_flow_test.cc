#include "workers/engine/graph/shapes/shapes_testing.h"

namespace condense::graph {
namespace {

TEST(ControlFlowShapesTest, BodiesAreInferredFromWhatTheyAreGiven) {
  ExpectTypes(
      "input c: bool [] input x: float32 [2, 3] input n: int64 []\n",
      {// What both branches may be.
       {"y, z = If(c, x) {captures=1, then_branch=graph t opset 17 { input a "
        "b = Relu(a) s = Shape(a) output b output s }, "
        "else_branch=graph e opset 17 { input a "
        "b = ReduceSum(a) s = Shape(b) output b output s }}",
        "float32 [?, ?]; int64 [2]"},
       {"y = If(c, x) {captures=1, then_branch=graph t opset 17 "
        "{ input a output a }}",
        "SHAPE_MISMATCH"},
       {"y = If(c, x) {captures=1, then_branch=graph t opset 17 "
        "{ input a output a }, else_branch=graph e opset 17 { output q "
        "const q: float32 [] = {1.0} }}",
        "SHAPE_MISMATCH"},
       // A state may grow; what is stacked has a new first axis.
       {"s, all = Loop(n, c, x, x) {captures=1, body=graph b opset 17 "
        "{ input i input go input s input k t = Add(s, k) u = Relu(k) "
        "output go output t output u }}",
        "float32 ?; float32 [?, 2, 3]"},
       // Turns go over axis 1.
       {"s, all = Scan(x, x) {num_scan_inputs=1, scan_input_axes=[1], "
        "body=graph b opset 17 { input s input e output s output e }}",
        "float32 [2, 3]; float32 ?"},
       {"s = Scan(x, x) {num_scan_inputs=1, scan_input_axes=[2], "
        "body=graph b opset 17 { input s input e output s }}",
        "SHAPE_MISMATCH"}});
}

}  // namespace
}  // namespace condense::graph
