#include "workers/engine/graph/passes/symbolic_batch.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(SymbolicBatchTest, AFixedBatchOfOneOpensAndReshapesFollow) {
  ExpectRewrites(SymbolicBatch(), R"(
  input x: float32 [1, 3, 4, 4]
  const sizes: int64 [2] = {1, -1}
  y = Reshape(x, sizes)
  output y)",
                 R"(
  input x: float32 [N, 3, 4, 4]
  const sizes_1: int64 [2] = {0, -1}
  y = Reshape(x, sizes_1)
  output y)");
}

}  // namespace
}  // namespace condense::graph
