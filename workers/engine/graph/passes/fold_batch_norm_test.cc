#include "workers/engine/graph/passes/fold_batch_norm.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FoldBatchNormTest, FollowsTheFormula) {
  ExpectRewrites(FoldBatchNorm(), R"(
  # g / sqrt(v + e): 2 / 2 = 1 and 8 / 4 = 2; b' = (b - m) g / sqrt(v + e) + beta
  input x: float32 [N, 1, 2, 2]
  const w: float32 [2, 1, 1, 1] = {3.0, 5.0}
  const b: float32 [2] = {1.0, 2.0}
  const scale: float32 [2] = {2.0, 8.0}
  const shift: float32 [2] = {10.0, 20.0}
  const mean: float32 [2] = {0.5, 1.0}
  const var: float32 [2] = {3.0, 15.0}
  c = Conv(x, w, b) @ conv
  y = BatchNormalization(c, scale, shift, mean, var) {epsilon=1.0}
  output y)",
                 R"(
  input x: float32 [N, 1, 2, 2]
  const w: float32 [2, 1, 1, 1] = {3.0, 10.0}
  const conv.folded_bias: float32 [2] = {10.5, 22.0}
  y = Conv(x, w, conv.folded_bias) @ conv
  output y)");
}

}  // namespace
}  // namespace condense::graph
