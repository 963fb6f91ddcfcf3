#include "workers/engine/graph/passes/fuse_hard_swish.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FuseHardSwishTest, TheProductWithItsHardSigmoid) {
  ExpectRewrites(FuseHardSwish(), R"(
  input x: float32 [2]
  a = HardSigmoid(x) {alpha=0.16666667, beta=0.5}
  y = Mul(x, a)
  output y)",
                 R"(
  input x: float32 [2]
  a = HardSigmoid(x) {alpha=0.16666667, beta=0.5}
  y = HardSwish(x)
  output y)");
}

TEST(FuseHardSwishTest, AnotherSlopeStays) {
  ExpectStays(FuseHardSwish(), R"(
  input x: float32 [2]
  a = HardSigmoid(x) {alpha=0.2, beta=0.5}
  y = Mul(x, a)
  output y)");
}

}  // namespace
}  // namespace condense::graph
