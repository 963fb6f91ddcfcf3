#include "workers/engine/graph/shapes/shapes_testing.h"

namespace condense::graph {
namespace {

TEST(SequenceShapesTest, RecurrentLayersLossesAndAudio) {
  ExpectTypes(
      "input x: float32 [7, N, 10] input w: float32 [1, 64, 10] "
      "input r: float32 [1, 64, 16] input flat: float32 [7, 10] "
      "input logits: float32 [N, 5] input labels: int64 [N] "
      "const size: int64 [] = {400} const n: int64 [] = {8} "
      "const f: float32 [] = {1.0} input wave: float32 [N, 4000, 1]",
      {{"y, h, c = LSTM(x, w, r) {hidden_size=16}",
        "float32 [7, 1, N, 16]; float32 [1, N, 16]; float32 [1, N, 16]"},
       {"y, h = GRU(x, w, r) {direction=\"bidirectional\"}",
        "float32 [7, 2, N, 16]; float32 [2, N, 16]"},
       {"y, h = RNN(x, w, r) {layout=1}",
        "float32 [7, N, 1, 16]; float32 [7, 1, 16]"},
       {"y = LSTM(flat, w, r)", "SHAPE_MISMATCH"},
       {"y = NegativeLogLikelihoodLoss(logits, labels)", "float32 []"},
       {"y, p = SoftmaxCrossEntropyLoss(logits, labels) {reduction=\"none\"}",
        "float32 [N]; float32 [N, 5]"},
       {"y = HannWindow(size)", "float32 [400]"},
       {"y = MelWeightMatrix(n, n, n, f, f)", "float32 [?, ?]"},
       {"y = DFT(wave) {axis=1}", "float32 [?, ?, 2]"},
       {"y = STFT(wave, n, _, size)", "float32 [N, ?, ?, 2]"},
       {"y = STFT(f, n, _, size)", "SHAPE_MISMATCH"}});
}

}  // namespace
}  // namespace condense::graph
