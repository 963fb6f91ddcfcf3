#include "workers/engine/graph/passes/merge_transposes.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(MergeTransposesTest, TwoBecomeOne) {
  ExpectRewrites(MergeTransposes(), R"(
  input x: float32 [2, 3, 4]
  a = Transpose(x) {perm=[1, 0, 2]}
  y = Transpose(a) {perm=[0, 2, 1]}
  output y)",
                 R"(
  input x: float32 [2, 3, 4]
  y = Transpose(x) {perm=[1, 2, 0]}
  output y)");
}

}  // namespace
}  // namespace condense::graph
