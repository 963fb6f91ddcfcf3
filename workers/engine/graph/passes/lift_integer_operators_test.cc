#include "workers/engine/graph/passes/lift_integer_operators.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(LiftIntegerOperatorsTest, PoolingOfLevelsIsPoolingOfValues) {
  ExpectRewrites(LiftIntegerOperators(), R"(
  input x: float32 [N, 1, 4, 4]
  const s: float32 [] = {0.5}
  const z: uint8 [] = {128}
  q: uint8 [N, 1, 4, 4] = QuantizeLinear(x, s, z)
  p: uint8 [N, 1, 2, 2] = MaxPool(q) {kernel_shape=[2, 2], strides=[2, 2]}
  y = DequantizeLinear(p, s, z)
  output y)",
                 R"(
  input x: float32 [N, 1, 4, 4]
  const s: float32 [] = {0.5}
  const z: uint8 [] = {128}
  q: uint8 [N, 1, 4, 4] = QuantizeLinear(x, s, z)
  p/DequantizeLinear = DequantizeLinear(q, s, z)
  p/MaxPool = MaxPool(p/DequantizeLinear) {kernel_shape=[2, 2], strides=[2, 2]}
  p: uint8 [N, 1, 2, 2] = QuantizeLinear(p/MaxPool, s, z)
  y = DequantizeLinear(p, s, z)
  output y)");
}

}  // namespace
}  // namespace condense::graph
