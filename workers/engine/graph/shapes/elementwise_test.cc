#include "workers/engine/graph/shapes/shapes_testing.h"

namespace condense::graph {
namespace {

TEST(ElementwiseShapesTest, TypesAndBroadcasting) {
  ExpectTypes(
      "input x: float32 [N, 3, 4] input row: float32 [4] input c: bool [3, 1] "
      "input i: int32 [4] input u: float32 ? input five: float32 [5] "
      "input h: float16 [4] const z: int8 [] = {0} const s: float32 [] = {1.0}",
      {{"y = Relu(x)", "float32 [N, 3, 4]"},
       {"y = Clip(h)", "float16 [4]"},
       {"y = Add(row, x)", "float32 [N, 3, 4]"},
       {"y = Add(x, u)", "float32 ?"},
       {"y = Add(x, five)", "SHAPE_MISMATCH"},
       {"y = Max(row, x, row)", "float32 [N, 3, 4]"},
       {"y = Equal(i, i)", "bool [4]"},
       {"y = Less(x, row)", "bool [N, 3, 4]"},
       {"y = And(c, c)", "bool [3, 1]"},
       {"y = Where(c, row, x)", "float32 [N, 3, 4]"},
       {"y = Where(c, i, i)", "int32 [3, 4]"},
       {"y = Cast(x) {to=\"int64\"}", "int64 [N, 3, 4]"},
       {"y = CastLike(x, i)", "int32 [N, 3, 4]"},
       {"y = IsNaN(x)", "bool [N, 3, 4]"},
       {"y, mask = Dropout(x)", "float32 [N, 3, 4]; bool [N, 3, 4]"},
       {"y = QuantizeLinear(x, s, z)", "int8 [N, 3, 4]"},
       {"y = QuantizeLinear(x, s)", "uint8 [N, 3, 4]"},
       {"q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)",
        "float32 [N, 3, 4]"},
       {"y, s2, z2 = DynamicQuantizeLinear(x)",
        "uint8 [N, 3, 4]; float32 []; uint8 []"},
       {"y, m, d = LayerNormalization(x, row)",
        "float32 [N, 3, 4]; float32 [N, 3, 1]; float32 [N, 3, 1]"},
       {"y = LayerNormalization(x, row) {axis=3}", "SHAPE_MISMATCH"},
       {"y = BatchNormalization(x, row, row, row, row)", "SHAPE_MISMATCH"},
       {"y = Add(x)", "BAD_GRAPH"}});
}

}  // namespace
}  // namespace condense::graph
