#include "workers/engine/graph/passes/fuse_clip.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FuseClipTest, ReluOfAClipToInfinity) {
  ExpectRewrites(FuseClip(), R"(
  input x: float32 [2]
  const low: float32 [] = {0.0}
  y = Clip(x, low)
  output y)",
                 R"(
  input x: float32 [2]
  y = Relu(x)
  output y)");
}

}  // namespace
}  // namespace condense::graph
