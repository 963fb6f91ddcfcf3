#include "workers/engine/graph/passes/fuse_hard_sigmoid.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FuseHardSigmoidTest, TheClippedLineBecomesOne) {
  ExpectRewrites(FuseHardSigmoid(), R"(
  input x: float32 [2]
  const four: float32 [] = {4.0}
  const low: float32 [] = {0.0}
  const high: float32 [] = {8.0}
  a = Add(x, four)
  b = Clip(a, low, high)
  y = Div(b, high)
  output y)",
                 R"(
  input x: float32 [2]
  y = HardSigmoid(x) {alpha=0.125, beta=0.5}
  output y)");
}

}  // namespace
}  // namespace condense::graph
