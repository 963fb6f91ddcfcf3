#include "workers/engine/graph/passes/fuse_gelu.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FuseGeluTest, TheProductWithErfBecomesGelu) {
  ExpectRewrites(FuseGelu(), R"(
  input x: float32 [2]
  const half: float32 [] = {0.5}
  const one: float32 [] = {1.0}
  const two: float32 [] = {2.0}
  const root: float32 [] = {1.4142135}
  a = Div(x, root)
  b = Erf(a)
  c = Add(b, one)
  d = Mul(x, c)
  y = Mul(d, half)
  output y)",
                 R"(
  input x: float32 [2]
  y = Gelu(x) {approximate="none"}
  output y)");
}

}  // namespace
}  // namespace condense::graph
