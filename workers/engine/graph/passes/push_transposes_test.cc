#include "workers/engine/graph/passes/push_transposes.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(PushTransposesTest, TheMeanOverThePlacesTakesItAway) {
  ExpectRewrites(PushTransposes(), R"(
  input x: float32 [N, 2, 3, 3]
  a = Transpose(x) {perm=[0, 2, 3, 1]}
  b = Relu(a)
  y = ReduceMean(b) {axes=[1, 2], keepdims=0}
  output y)",
                 R"(
  input x: float32 [N, 2, 3, 3]
  b/moved = Relu(x) @ b
  y = ReduceMean(b/moved) {axes=[2, 3], keepdims=0}
  output y)");
}

TEST(PushTransposesTest, AnotherOrderStays) {
  ExpectStays(PushTransposes(), R"(
  input x: float32 [N, 2, 3, 3]
  a = Transpose(x) {perm=[0, 2, 1, 3]}
  b = Relu(a)
  y = ReduceMean(b) {axes=[1, 2], keepdims=0}
  output y)");
}

}  // namespace
}  // namespace condense::graph
