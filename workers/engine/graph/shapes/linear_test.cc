#include "workers/engine/graph/shapes/shapes_testing.h"

namespace condense::graph {
namespace {

TEST(LinearShapesTest, ConvolutionsAndPooling) {
  ExpectTypes(
      "input x: float32 [N, 8, 10, 12] input w: float32 [16, 8, 3, 3] "
      "input g: float32 [16, 2, 3, 3] input t: float32 [8, 4, 2, 2] "
      "input line: float32 [N, 8, 10] input w1: float32 [4, 8, 3] "
      "input any: float32 [N, 8, H, W] input q: uint8 [1, 8, 4, 4] "
      "input qw: int8 [2, 8, 1, 1] const s: float32 [] = {1.0} "
      "const z: uint8 [] = {0} const wz: int8 [] = {0} "
      "const size: int64 [4] = {1, 8, 20, 24}",
      {{"y = Conv(x, w)", "float32 [N, 16, 8, 10]"},
       {"y = Conv(x, w) {pads=[1, 0, 1, 2], strides=[2, 1]}",
        "float32 [N, 16, 5, 12]"},
       {"y = Conv(any, w)", "float32 [N, 16, ?, ?]"},
       {"y = Conv(x, g) {group=4}", "float32 [N, 16, 8, 10]"},
       {"y = Conv(x, g)", "SHAPE_MISMATCH"},
       {"y = Conv(x, w) {group=0}", "SHAPE_MISMATCH"},
       {"y = Conv(x, w) {strides=[0, 1]}", "SHAPE_MISMATCH"},
       {"y = Conv(x, w) {dilations=[9, 1]}", "SHAPE_MISMATCH"},
       {"y = Conv(line, w1)", "float32 [N, 4, 8]"},
       {"y = Conv(line, w)", "SHAPE_MISMATCH"},
       // 2 * (10 - 1) + 2 and one more.
       {"y = ConvTranspose(x, t) {strides=[2, 2], output_padding=[1, 0]}",
        "float32 [N, 4, 21, 24]"},
       {"y = ConvTranspose(x, t) {group=2, output_shape=[9, 9]}",
        "float32 [N, 8, 9, 9]"},
       {"y = ConvInteger(q, qw)", "int32 [1, 2, 4, 4]"},
       {"y = QLinearConv(q, s, z, qw, s, wz, s, z)", "uint8 [1, 2, 4, 4]"},
       {"y, at = MaxPool(x) {kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1}",
        "float32 [N, 8, 5, 6]; int64 [N, 8, 5, 6]"},
       {"y = AveragePool(x) {kernel_shape=[3]}", "SHAPE_MISMATCH"},
       {"y = GlobalMaxPool(x)", "float32 [N, 8, 1, 1]"},
       {"y = GlobalAveragePool(any)", "float32 [N, 8, 1, 1]"},
       {"p, at = MaxPool(x) {kernel_shape=[2, 2]} y = MaxUnpool(p, at, size) "
        "{kernel_shape=[2, 2]}",
        "float32 [1, 8, 20, 24]"}});
}

TEST(LinearShapesTest, Products) {
  ExpectTypes(
      "input a: float32 [N, 5, 20] input b: float32 [20, 3] "
      "input c: float32 [2, 1, 20, 3] input v: float32 [20] "
      "input m: float32 [4, 20] input q: uint8 [4, 20] input r: int8 [20, 3] "
      "const s: float32 [] = {1.0} const z: uint8 [] = {0} "
      "const rz: int8 [] = {0} input o: float32 [] "
      "input square: float32 [7, 4, 4]",
      {{"y = MatMul(a, b)", "float32 [N, 5, 3]"},
       {"y = MatMul(a, c)", "float32 [2, N, 5, 3]"},
       {"y = MatMul(v, v)", "float32 []"},
       {"y = MatMul(a, v)", "float32 [N, 5]"},
       {"y = MatMul(v, b)", "float32 [3]"},
       {"y = MatMul(b, a)", "SHAPE_MISMATCH"},
       {"y = MatMul(o, b)", "SHAPE_MISMATCH"},
       {"y = Gemm(m, b)", "float32 [4, 3]"},
       {"y = Gemm(b, m) {transA=1, transB=1}", "float32 [3, 4]"},
       {"y = Gemm(a, b)", "SHAPE_MISMATCH"},
       {"y = MatMulInteger(q, r)", "int32 [4, 3]"},
       {"y = QLinearMatMul(q, s, z, r, s, rz, s, z)", "uint8 [4, 3]"},
       {"y = Einsum(a, b) {equation=\"nij, jk -> nki\"}", "float32 [N, 3, 5]"},
       {"y = Einsum(m) {equation=\"ij\"}", "float32 [4, 20]"},
       {"y = Einsum(b) {equation=\"ijk->i\"}", "SHAPE_MISMATCH"},
       {"y = Det(square)", "float32 [7]"},
       {"y = Det(v)", "SHAPE_MISMATCH"}});
}

}  // namespace
}  // namespace condense::graph
