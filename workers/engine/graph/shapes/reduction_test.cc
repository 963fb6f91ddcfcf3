#include "workers/engine/graph/shapes/shapes_testing.h"

namespace condense::graph {
namespace {

TEST(ReductionShapesTest, AxesByAttributeAndByInput) {
  ExpectTypes(
      "input x: float32 [N, 3, 4] input axes: int64 [1] "
      "const last: int64 [2] = {1, -1} const out: int64 [1] = {3} "
      "const none: int64 [0] = {}",
      {{"y = ReduceMean(x) {axes=[1]}", "float32 [N, 1, 4]"},
       {"y = ReduceSum(x, last)", "float32 [N, 1, 1]"},
       {"y = ReduceSum(x, last) {keepdims=0}", "float32 [N]"},
       {"y = ReduceMax(x)", "float32 [1, 1, 1]"},
       {"y = ReduceMax(x) {keepdims=0}", "float32 []"},
       {"y = ReduceSum(x, none) {noop_with_empty_axes=1}", "float32 [N, 3, 4]"},
       {"y = ReduceL2(x, axes)", "float32 [?, ?, ?]"},
       {"y = ReduceL2(x, axes) {keepdims=0}", "float32 ?"},
       {"y = ReduceProd(x, out)", "SHAPE_MISMATCH"},
       {"y = ArgMax(x) {axis=-1}", "int64 [N, 3, 1]"},
       {"y = ArgMin(x) {axis=1, keepdims=0}", "int64 [N, 4]"}});
}

}  // namespace
}  // namespace condense::graph
