#include "workers/engine/graph/passes/fuse_swish.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FuseSwishTest, TheProductWithItsSigmoidBecomesSwish) {
  ExpectRewrites(FuseSwish(), R"(
  input x: float32 [2]
  a = Sigmoid(x)
  y = Mul(x, a)
  output y)",
                 R"(
  input x: float32 [2]
  y = Swish(x)
  output y)");
}

TEST(FuseSwishTest, TheGateOfAnotherValueStays) {
  ExpectStays(FuseSwish(), R"(
  input x: float32 [2]
  z = Neg(x)
  a = Sigmoid(z)
  y = Mul(x, a)
  output y)");
}

}  // namespace
}  // namespace condense::graph
