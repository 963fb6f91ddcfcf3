#include "workers/engine/graph/shapes/shapes_testing.h"

namespace condense::graph {
namespace {

TEST(IndexingShapesTest, PicksAndPlaces) {
  ExpectTypes(
      "input x: float32 [N, 5, 6] input i: int64 [N, 2, 6] "
      "input nd: int64 [7, 2] input deep: int64 [7, 4] input ids: int32 [4] "
      "const depth: int64 [1] = {10} input values: float32 [2] "
      "const k: int64 [1] = {3} input many: int64 [1] input c: bool [5] "
      "const a: int64 [] = {2} const b: int64 [] = {11} const d: int64 [] = "
      "{3} "
      "const zero: int64 [] = {0} const r: float32 [] = {0.5}",
      {{"y = GatherElements(x, i) {axis=1}", "float32 [N, 2, 6]"},
       {"y = GatherND(x, nd)", "float32 [7, 6]"},
       {"y = GatherND(x, deep)", "SHAPE_MISMATCH"},
       {"y = ScatterElements(x, i, x)", "float32 [N, 5, 6]"},
       {"y = OneHot(ids, depth, values)", "float32 [4, 10]"},
       {"y = OneHot(ids, many, values) {axis=0}", "float32 [?, 4]"},
       {"y, at = TopK(x, k) {axis=1}", "float32 [N, 3, 6]; int64 [N, 3, 6]"},
       {"y, at = TopK(x, many)", "float32 [N, 5, ?]; int64 [N, 5, ?]"},
       {"y = NonZero(x)", "int64 [3, ?]"},
       {"y = Compress(x, c) {axis=1}", "float32 [N, ?, 6]"},
       {"y = Compress(x, c)", "float32 [?]"},
       {"y, f, inv, n = Unique(ids)",
        "int32 [?]; int64 [?]; int64 [?]; int64 [?]"},
       {"y = Range(a, b, d)", "int64 [3]"},
       {"y = Range(b, a, d)", "int64 [0]"},
       {"y = Range(a, b, zero)", "int64 [?]"},
       {"y = Range(r, r, r)", "float32 [0]"},
       {"y = EyeLike(x)", "float32 [N, 5, 6]"},
       {"y = EyeLike(x) {dtype=\"int32\"}", "int32 [N, 5, 6]"},
       {"y = NonMaxSuppression(x, x)", "int64 [?, 3]"}});
}

TEST(IndexingShapesTest, Images) {
  ExpectTypes(
      "input x: float32 [N, 8, 4, 6] input rois: float32 [R, 4] "
      "input which: int64 [R] input grid: float32 [N, 3, 9, 2] "
      "input theta: float32 [N, 2, 3] const size: int64 [4] = {2, 8, 5, 7} "
      "input cols: float32 [N, 12, 20] const image: int64 [2] = {5, 7} "
      "const block: int64 [2] = {2, 3}",
      {{"y = RoiAlign(x, rois, which) {output_height=3, output_width=5}",
        "float32 [R, 8, 3, 5]"},
       {"y = GridSample(x, grid)", "float32 [N, 8, 3, 9]"},
       {"y = AffineGrid(theta, size)", "float32 [2, 5, 7, 2]"},
       {"y = Col2Im(cols, image, block)", "float32 [N, 2, 5, 7]"}});
}

}  // namespace
}  // namespace condense::graph
