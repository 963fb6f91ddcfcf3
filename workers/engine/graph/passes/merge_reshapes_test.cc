#include "workers/engine/graph/passes/merge_reshapes.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(MergeReshapesTest, TheSecondReadsWhatTheFirstRead) {
  ExpectRewrites(MergeReshapes(), R"(
  input x: float32 [N, 4, 2, 3]
  const first: int64 [3] = {0, 8, 3}
  const second: int64 [4] = {0, 0, 1, 3}
  a = Reshape(x, first)
  y = Reshape(a, second)
  output y)",
                 R"(
  input x: float32 [N, 4, 2, 3]
  const second_1: int64 [4] = {0, 8, 1, 3}
  y = Reshape(x, second_1)
  output y)");
}

}  // namespace
}  // namespace condense::graph
