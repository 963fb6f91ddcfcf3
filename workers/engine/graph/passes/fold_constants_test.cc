#include "workers/engine/graph/passes/fold_constants.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FoldConstantsTest, ShapeArithmeticBecomesSizes) {
  ExpectRewrites(FoldConstants(), R"(
  input x: float32 [N, 4, 3, 5]
  const at: int64 [] = {2}
  const front: int64 [2] = {0, -1}
  s: int64 [4] = Shape(x)
  h: int64 [] = Gather(s, at)
  const zero: int64 [1] = {0}
  w: int64 [1] = Unsqueeze(h, zero)
  sizes: int64 [3] = Concat(front, w) {axis=0}
  y = Reshape(x, sizes)
  output y)",
                 R"(
  input x: float32 [N, 4, 3, 5]
  s: int64 [4] = Shape(x)
  const sizes_1: int64 [3] = {0, -1, 3}
  y = Reshape(x, sizes_1)
  output y)");
}

TEST(FoldConstantsTest, WhatPaddingToWindowsComputes) {
  ExpectRewrites(FoldConstants(), R"(
  input x: float32 [N, 7]
  const at: int64 [] = {1}
  const window: int64 [] = {4}
  const zero: int64 [] = {0}
  const half: int64 [] = {2}
  s: int64 [2] = Shape(x)
  size: int64 [] = Gather(s, at)
  minus: int64 [] = Neg(size)
  rest: int64 [] = Mod(minus, window)
  none: bool [] = Equal(rest, zero)
  index: int64 [] = Where(none, half, rest)
  y = Gather(x, index) {axis=1}
  output y)",
                 R"(
  input x: float32 [N, 7]
  s: int64 [2] = Shape(x)
  const index_1: int64 [] = {1}
  y = Gather(x, index_1) {axis=1}
  output y)");
}

}  // namespace
}  // namespace condense::graph
