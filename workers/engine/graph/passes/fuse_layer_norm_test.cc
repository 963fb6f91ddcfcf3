#include "workers/engine/graph/passes/fuse_layer_norm.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FuseLayerNormTest, TheNormalisedDifference) {
  ExpectRewrites(FuseLayerNorm(), R"(
  input x: float32 [2, 3]
  const e: float32 [] = {0.5}
  const scale: float32 [3] = {1.0, 2.0, 3.0}
  const bias: float32 [3] = {4.0, 5.0, 6.0}
  m = ReduceMean(x) {axes=[-1], keepdims=1}
  d = Sub(x, m)
  q = Mul(d, d)
  v = ReduceMean(q) {axes=[-1], keepdims=1}
  a = Add(v, e)
  r = Sqrt(a)
  n = Div(d, r)
  s = Mul(n, scale)
  y = Add(s, bias)
  output y)",
                 R"(
  input x: float32 [2, 3]
  const scale: float32 [3] = {1.0, 2.0, 3.0}
  const bias: float32 [3] = {4.0, 5.0, 6.0}
  y = LayerNormalization(x, scale, bias) {axis=-1, epsilon=0.5}
  output y)");
}

TEST(FuseLayerNormTest, AnotherMeanStays) {
  ExpectStays(FuseLayerNorm(), R"(
  input x: float32 [2, 3]
  const e: float32 [] = {0.5}
  m = ReduceMean(x) {axes=[0], keepdims=1}
  d = Sub(x, m)
  q = Mul(d, d)
  v = ReduceMean(q) {axes=[-1], keepdims=1}
  a = Add(v, e)
  r = Sqrt(a)
  y = Div(d, r)
  output y)");
}

}  // namespace
}  // namespace condense::graph
