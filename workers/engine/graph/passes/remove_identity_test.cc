#include "workers/engine/graph/passes/remove_identity.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(RemoveIdentityTest, TheOutputKeepsItsName) {
  ExpectRewrites(RemoveIdentity(), R"(
  input x: float32 [2]
  a = Dropout(x)
  b = Relu(a)
  y = Identity(b)
  output y)",
                 R"(
  input x: float32 [2]
  y = Relu(x) @ b
  output y)");
}

TEST(RemoveIdentityTest, OperatorsThatChangeNothing) {
  ExpectRewrites(RemoveIdentity(), R"(
  input x: float32 [N, 4, 3, 3]
  const pads: int64 [8] = {0, 0, 0, 0, 0, 0, 0, 0}
  const sizes: int64 [4] = {0, 4, 3, 3}
  a = Pad(x, pads)
  b = Reshape(a, sizes)
  c = Transpose(b) {perm=[0, 1, 2, 3]}
  d = MaxPool(c) {kernel_shape=[1, 1]}
  e = Concat(d) {axis=1}
  y = Relu(e)
  output y)",
                 R"(
  input x: float32 [N, 4, 3, 3]
  y = Relu(x)
  output y)");
}

TEST(RemoveIdentityTest, APoolWithStridesStays) {
  ExpectStays(RemoveIdentity(), R"(
  input x: float32 [N, 4, 3, 3]
  a = MaxPool(x) {kernel_shape=[1, 1], strides=[2, 2]}
  y = Relu(a)
  output y)");
}

}  // namespace
}  // namespace condense::graph
