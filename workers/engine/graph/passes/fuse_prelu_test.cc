#include "workers/engine/graph/passes/fuse_prelu.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FusePReluTest, AsKerasWritesIt) {
  ExpectRewrites(FusePRelu(), R"(
  input x: float32 [N, 2]
  const slope: float32 [2] = {0.25, 0.5}
  a = Relu(x)
  b = Neg(x)
  c = Relu(b)
  d = Neg(c)
  e = Mul(slope, d)
  y = Add(a, e)
  output y)",
                 R"(
  input x: float32 [N, 2]
  const slope: float32 [2] = {0.25, 0.5}
  y = PRelu(x, slope)
  output y)");
}

}  // namespace
}  // namespace condense::graph
