#include "workers/engine/graph/passes/merge_pads.h"

#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(MergePadsTest, ZerosBecomeThePaddingOfAConvolution) {
  ExpectRewrites(MergePads(), R"(
  input x: float32 [N, 1, 4, 4]
  const w: float32 [1, 1, 3, 3] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0}
  const pads: int64 [8] = {0, 0, 1, 0, 0, 0, 1, 2}
  a = Pad(x, pads)
  y = Conv(a, w) {pads=[0, 1, 0, 1]}
  output y)",
                 R"(
  input x: float32 [N, 1, 4, 4]
  const w: float32 [1, 1, 3, 3] = {1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0}
  y = Conv(x, w) {pads=[1, 1, 1, 3]}
  output y)");
}

TEST(MergePadsTest, ChannelsAreNoPlaces) {
  ExpectStays(MergePads(), R"(
  input x: float32 [N, 1, 4, 4]
  const w: float32 [1, 2, 1, 1] = {1.0, 2.0}
  const pads: int64 [8] = {0, 1, 0, 0, 0, 0, 0, 0}
  a = Pad(x, pads)
  y = Conv(a, w)
  output y)");
}

TEST(MergePadsTest, AmountsThatAreNoNumbersAreNotRead) {
  ExpectStays(MergePads(), R"(
  input x: float32 [N, 1, 4, 4]
  const w: float32 [1, 1, 1, 1] = {1.0}
  const pads: string [8] = {"0", "0", "0", "0", "0", "0", "0", "0"}
  a = Pad(x, pads)
  y = Conv(a, w)
  output y)");
}

}  // namespace
}  // namespace condense::graph
