#include "workers/engine/graph/passes/simplify_arithmetic.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(SimplifyArithmeticTest, ASquareIsAProduct) {
  ExpectRewrites(SimplifyArithmetic(), R"(
  input x: float32 [2]
  const two: float32 [] = {2.0}
  const one: float32 [] = {1.0}
  a = Pow(x, two)
  b = Mul(one, a)
  y = Relu(b)
  output y)",
                 R"(
  input x: float32 [2]
  a = Mul(x, x)
  y = Relu(a)
  output y)");
}

TEST(SimplifyArithmeticTest, ANumberThatWidensTheShapeStays) {
  ExpectStays(SimplifyArithmetic(), R"(
  input x: float32 [2]
  const one: float32 [1, 1] = {1.0}
  a = Mul(x, one)
  y = Relu(a)
  output y)");
}

}  // namespace
}  // namespace condense::graph
