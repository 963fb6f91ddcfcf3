#include "workers/engine/graph/passes/common_subexpressions.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(CommonSubexpressionsTest, EqualNodesBecomeOne) {
  ExpectRewrites(CommonSubexpressions(), R"(
  input x: float32 [2]
  a = LeakyRelu(x) {alpha=0.5}
  b = LeakyRelu(x) {alpha=0.5}
  y = Add(a, b)
  output y)",
                 R"(
  input x: float32 [2]
  a = LeakyRelu(x) {alpha=0.5}
  y = Add(a, a)
  output y)");
}

TEST(CommonSubexpressionsTest, OtherAttributesAndOutputsStay) {
  ExpectStays(CommonSubexpressions(), R"(
  input x: float32 [2]
  a = LeakyRelu(x) {alpha=0.5}
  b = LeakyRelu(x) {alpha=0.25}
  y = Add(a, b)
  z = Add(a, b)
  output y
  output z)");
}

}  // namespace
}  // namespace condense::graph
