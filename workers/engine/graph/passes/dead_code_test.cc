#include "workers/engine/graph/passes/dead_code.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(DeadCodeTest, RemovesWhatNoOutputNeeds) {
  ExpectRewrites(DeadCode(), R"(
  input x: float32 [2]
  y = Relu(x)
  a = Neg(x)
  b = Exp(a)
  output y)",
                 R"(
  input x: float32 [2]
  y = Relu(x)
  output y)");
}

}  // namespace
}  // namespace condense::graph
