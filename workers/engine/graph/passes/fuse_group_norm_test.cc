#include "workers/engine/graph/passes/fuse_group_norm.h"

#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/passes/pass_text.h"

namespace condense::graph {
namespace {

TEST(FuseGroupNormTest, AsPyTorchExportsIt) {
  Graph graph = Read(R"(
  input x: float32 [2, 4, 3, 3]
  const groups: int64 [3] = {0, 2, -1}
  const one: float32 [2] = {1.0, 1.0}
  const zero: float32 [2] = {0.0, 0.0}
  const back: int64 [4] = {2, 4, 3, 3}
  const scale: float32 [4, 1, 1] = {1.0, 2.0, 3.0, 4.0}
  const bias: float32 [4, 1, 1] = {0.0, 1.0, 2.0, 3.0}
  a = Reshape(x, groups)
  b = InstanceNormalization(a, one, zero) {epsilon=0.5}
  c = Reshape(b, back)
  d = Mul(c, scale)
  y = Add(d, bias)
  output y)");
  EXPECT_TRUE(*FuseGroupNorm().Run(graph));
  EXPECT_TRUE(*DeadCode().Run(graph));
  EXPECT_FALSE(*FuseGroupNorm().Run(graph));
  ASSERT_EQ(graph.order().size(), 1u);
  const Node& norm = graph.node(graph.order()[0]);
  EXPECT_EQ(norm.op, "GroupNormalization");
  EXPECT_EQ(norm.Int("num_groups", 0), 2);
  EXPECT_EQ(norm.Float("epsilon", 0), 0.5f);
  EXPECT_EQ(graph.ConstantOf(norm.inputs[1])->dims(), std::vector<int64_t>{4});
  EXPECT_EQ(graph.value(norm.outputs[0]).name, "y");
}

}  // namespace
}  // namespace condense::graph
