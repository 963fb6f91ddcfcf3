#include "workers/engine/graph/passes/lift_quantizers.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(LiftQuantizersTest, AQuantizedLayerAsItsSimulation) {
  ExpectRewrites(LiftQuantizers(), R"(
  input x: float32 [N, 2]
  const s: float32 [] = {0.5}
  const z: uint8 [] = {128}
  const w_quantized: int8 [2, 2] = {127, -127, 3, 4}
  const ws: float32 [2] = {0.5, 0.25}
  const b_quantized: int32 [2] = {4, 8}
  const bs: float32 [2] = {0.25, 0.125}
  q: uint8 [N, 2] = QuantizeLinear(x, s, z)
  d = DequantizeLinear(q, s, z)
  w_d = DequantizeLinear(w_quantized, ws) {axis=1}
  b_d = DequantizeLinear(b_quantized, bs) {axis=0}
  y = Gemm(d, w_d, b_d)
  output y)",
                 R"(
  input x: float32 [N, 2]
  const s: float32 [] = {0.5}
  const x.zero_point: int32 [] = {128}
  const w: float32 [2, 2] = {63.5, -31.75, 1.5, 1.0}
  const ws: float32 [2] = {0.5, 0.25}
  const w.zero_point: int32 [2] = {0, 0}
  const b: float32 [2] = {1.0, 1.0}
  x.quantized = condense::FakeQuantize(x, s, x.zero_point) {dtype="uint8", qmax=255, qmin=0, role="activation"} @ x.quantize
  w.quantized = condense::FakeQuantize(w, ws, w.zero_point) {axis=1, dtype="int8", qmax=127, qmin=-127, role="weight"} @ w.quantize
  y = Gemm(x.quantized, w.quantized, b)
  output y)");
}

}  // namespace
}  // namespace condense::graph
