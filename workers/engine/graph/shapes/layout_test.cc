#include "workers/engine/graph/shapes/shapes_testing.h"

namespace condense::graph {
namespace {

TEST(LayoutShapesTest, ReshapeAndItsKin) {
  ExpectTypes(
      "input x: float32 [N, 3, 4, 5] input k: float32 [2, 3, 4] "
      "input u: float32 ? input sizes: int64 [3] "
      "const all: int64 [2] = {0, -1} const five: int64 [2] = {5, -1} "
      "const far: int64 [4] = {2, 3, 4, 0} const neg: int64 [1] = {-2} "
      "const flat: int64 [2] = {-1, 60} const one: int64 [1] = {1} "
      "const ends: int64 [2] = {0, 3} const twice: int64 [2] = {0, 0}",
      {{"y = Reshape(x, all)", "float32 [N, 60]"},
       {"y = Reshape(x, flat)", "float32 [N, 60]"},
       {"y = Reshape(k, five)", "SHAPE_MISMATCH"},
       {"y = Reshape(k, far)", "SHAPE_MISMATCH"},
       {"y = Reshape(k, neg)", "SHAPE_MISMATCH"},
       {"y = Reshape(x, sizes)", "float32 [?, ?, ?]"},
       {"y = Flatten(x) {axis=0}", "float32 [1, ?]"},
       {"y = Flatten(k) {axis=-1}", "float32 [6, 4]"},
       {"y = Flatten(k) {axis=4}", "SHAPE_MISMATCH"},
       {"y = Transpose(x)", "float32 [5, 4, 3, N]"},
       {"y = Transpose(k) {perm=[1, 0]}", "SHAPE_MISMATCH"},
       {"y = Transpose(k) {perm=[0, 1, 3]}", "SHAPE_MISMATCH"},
       {"y = Unsqueeze(k, ends)", "float32 [1, 2, 3, 1, 4]"},
       {"y = Unsqueeze(k, twice)", "SHAPE_MISMATCH"},
       {"y = Unsqueeze(u, one)", "float32 ?"},
       {"a = Unsqueeze(k, one) y = Squeeze(a, one)", "float32 [2, 3, 4]"},
       {"a = Unsqueeze(k, one) y = Squeeze(a)", "float32 [2, 3, 4]"},
       {"y = Squeeze(x)", "float32 ?"},
       {"y = Shape(x)", "int64 [4]"},
       {"y = Shape(x) {start=1, end=-1}", "int64 [2]"},
       {"y = Size(u)", "int64 []"}});
}

TEST(LayoutShapesTest, SizesThatNoMemoryHoldsAreRefused) {
  ExpectTypes(
      "input x: float32 [4, 4] input h: float32 [2147483648] "
      "const pads: int64 [4] = {0, 9223372036854775807, 0, 1} "
      "const less: int64 [4] = {0, -9223372036854775807, 0, -9} "
      "const many: int64 [2] = {1, 4611686018427387904} "
      "const huge: int64 [2] = {4294967296, 4294967296} "
      "input i: float32 [N, 1, 4, 4] input w: float32 [1, 1, 1, 1]",
      {{"y = Pad(x, pads)", "SHAPE_MISMATCH"},
       {"y = Pad(x, less)", "SHAPE_MISMATCH"},
       {"y = Tile(x, many)", "SHAPE_MISMATCH"},
       {"y = Reshape(x, huge)", "SHAPE_MISMATCH"},
       {"y = Expand(h, huge)", "SHAPE_MISMATCH"},
       {"y = Relu(h)", "float32 [2147483648]"},
       {"y = Conv(i, w) {pads=[4611686018427387904, 0, 0, 0]}",
        "SHAPE_MISMATCH"}});
}

TEST(LayoutShapesTest, PartsAndSums) {
  ExpectTypes(
      "input x: float32 [N, 7, 6] input z: float32 [N, 2, 6] "
      "input w: float32 [N, 2, 5] input idx: int64 [2, 2] "
      "const sizes: int64 [2] = {3, 4} const from: int64 [1] = {5} "
      "const to: int64 [1] = {-8} const axis: int64 [1] = {1} "
      "const back: int64 [1] = {-2} const zero: int64 [1] = {0} "
      "const two: int64 [2] = {0, 0} input n: int64 [1]",
      {{"y = Concat(x, z) {axis=1}", "float32 [N, 9, 6]"},
       {"y = Concat(x, z) {axis=-2}", "float32 [N, 9, 6]"},
       {"y = Concat(x, w) {axis=1}", "SHAPE_MISMATCH"},
       {"y = Concat(x, z) {axis=0}", "SHAPE_MISMATCH"},
       {"a, b = Split(x, sizes) {axis=1}",
        "float32 [N, 3, 6]; float32 [N, 4, 6]"},
       {"a, b = Split(x) {axis=1}", "float32 [N, 4, 6]; float32 [N, 3, 6]"},
       // 5, 3, 1.
       {"y = Slice(x, from, to, axis, back)", "float32 [N, 3, 6]"},
       {"y = Slice(x, from, to, axis, zero)", "SHAPE_MISMATCH"},
       {"y = Slice(x, from, two, axis)", "SHAPE_MISMATCH"},
       {"y = Slice(x, n, to, axis)", "float32 [?, ?, ?]"},
       {"y = Gather(x, idx) {axis=1}", "float32 [N, 2, 2, 6]"},
       {"y = Gather(x, idx) {axis=3}", "SHAPE_MISMATCH"}});
}

TEST(LayoutShapesTest, SizesThatChange) {
  ExpectTypes(
      "input x: float32 [N, 8, 4, 6] input row: float32 [4, 1] "
      "const pads: int64 [8] = {0, 0, 1, 2, 0, 0, 3, 0} "
      "const few: int64 [2] = {1, 1} const ax: int64 [1] = {-1} "
      "const less: int64 [2] = {-4, -4} input p: int64 [8] "
      "const shape: int64 [3] = {2, 1, 5} const tiles: int64 [4] = {1, 2, 1, "
      "3} "
      "const scales: float32 [4] = {1.0, 1.0, 2.0, 0.5} "
      "const to: int64 [4] = {1, 8, 7, 9} const hw: int64 [2] = {3, 9} "
      "const bad: int64 [2] = {3, 5}",
      {{"y = Pad(x, pads)", "float32 [N, 8, 8, 8]"},
       {"y = Pad(x, few, _, ax)", "float32 [N, 8, 4, 8]"},
       {"y = Pad(x, less, _, ax)", "SHAPE_MISMATCH"},
       {"y = Pad(x, few)", "SHAPE_MISMATCH"},
       {"y = Pad(x, p)", "float32 [?, ?, ?, ?]"},
       {"y = Expand(row, shape)", "float32 [2, 4, 5]"},
       {"y = Expand(row, bad)", "SHAPE_MISMATCH"},
       {"y = Tile(x, tiles)", "float32 [N, 16, 4, 18]"},
       {"y = Tile(x, few)", "SHAPE_MISMATCH"},
       {"y = Resize(x, _, scales)", "float32 [N, 8, 8, 3]"},
       {"y = Resize(x, _, _, to)", "float32 [N, 8, 7, 9]"},
       {"y = Resize(x, _, _, hw) {axes=[2, 3]}", "float32 [N, 8, 3, 9]"},
       {"y = ConstantOfShape(shape)", "float32 [2, 1, 5]"},
       {"y = ConstantOfShape(shape) {value=int64 [1] = {7}}",
        "int64 [2, 1, 5]"},
       {"y = ConstantOfShape(p)", "float32 [?, ?, ?, ?, ?, ?, ?, ?]"},
       {"y = SpaceToDepth(x) {blocksize=2}", "float32 [N, 32, 2, 3]"},
       {"y = DepthToSpace(x) {blocksize=2}", "float32 [N, 2, 8, 12]"},
       {"y = DepthToSpace(row) {blocksize=2}", "SHAPE_MISMATCH"},
       {"y = CenterCropPad(x, hw) {axes=[2, 3]}", "float32 [N, 8, 3, 9]"}});
}

}  // namespace
}  // namespace condense::graph
