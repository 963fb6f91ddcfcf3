#include "workers/engine/graph/passes/fuse_bias.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FuseBiasTest, AMatMulWithItsAddBecomesAGemm) {
  ExpectRewrites(FuseBias(), R"(
  input x: float32 [N, 2]
  const w: float32 [2, 2] = {1.0, 2.0, 3.0, 4.0}
  const b: float32 [1, 2] = {5.0, 6.0}
  a = MatMul(x, w) @ dense
  y = Add(a, b)
  output y)",
                 R"(
  input x: float32 [N, 2]
  const w: float32 [2, 2] = {1.0, 2.0, 3.0, 4.0}
  const b: float32 [2] = {5.0, 6.0}
  y = Gemm(x, w, b) @ dense
  output y)");
}

}  // namespace
}  // namespace condense::graph
