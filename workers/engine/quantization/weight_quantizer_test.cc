#include "workers/engine/quantization/weight_quantizer.h"

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/quantization/training_graph.h"
#include "workers/engine/quantization/weight_tables.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Tensor;

TEST(SchemeLevelsTest, AreWhatTheBitsCanSay) {
  EXPECT_EQ(SchemeLevels("max_abs", 8).qmax, 127);
  EXPECT_EQ(SchemeLevels("power_of_two", 4).qmax, 7);
  // 1, 2, 4, ... as many as a sign and zero leave room for.
  EXPECT_EQ(SchemeLevels("log2", 4).qmax, 64);
  EXPECT_EQ(SchemeLevels("log2", 3).qmax, 4);
  EXPECT_EQ(SchemeLevels("log2", 2).qmax, 1);
  EXPECT_EQ(SchemeLevels("binary", 1).qmax, 1);
  EXPECT_EQ(SchemeLevels("ternary", 2).qmin, -1);
  EXPECT_EQ(SchemeLevels("max_abs", 16).qmin, -32767);
  EXPECT_EQ(SchemeLevels("affine", 4).qmin, 0);
  EXPECT_EQ(SchemeLevels("affine", 4).qmax, 15);
  EXPECT_EQ(SchemeLevels("lq", 3).qmax, 63);
}

struct Case {
  const char* scheme;
  int bits;
  bool packed;
};

torch::Tensor Output(const Graph& g, const torch::Tensor& x) {
  const torch::NoGradGuard no_grad;
  auto executor = runtime::Executor::Create(g);
  EXPECT_TRUE(executor.ok()) << executor.status();
  return (*executor)->Forward({x})[0];
}

class SchemeTest : public testing::TestWithParam<Case> {};

// Placed and projected: what training simulates (levels found anew from the
// weights), what is exported, and the file's integers are one function.
TEST_P(SchemeTest, TrainingSimulationAndFileAgree) {
  Graph g;
  g.AddOutput(Conv(&g, "c", Image(&g, 2), 2, 3));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  Numerics numerics = RuntimeNumerics();
  numerics.weight_scheme = GetParam().scheme;
  numerics.weight_bits = GetParam().bits;
  numerics.packed = GetParam().packed;
  numerics.activation_bits = 5;
  Graph placed = PlaceQuantizers(g, numerics)->graph;
  for (const char* name : {"x.scale", "c.y.scale"}) {
    placed.SetConstant(placed.FindValue(name), Tensor::Scalar<float>(0.125f));
  }
  torch::manual_seed(6);
  const torch::Tensor x = torch::randn({2, 2, 6, 6}) * 4;
  const torch::Tensor trained = Output(TrainingGraph(placed, {}), x);
  ProjectWeights(&placed);
  SnapBiases(&placed);
  const torch::Tensor simulated = Output(placed, x);
  const auto lowered = LowerToQdq(placed);
  ASSERT_TRUE(lowered.ok()) << lowered.status();
  // Biases were rounded in between: a level of the output at most.
  EXPECT_LE((trained - simulated).abs().max().item<double>(), 0.125);
  EXPECT_TRUE(torch::equal(simulated, Output(lowered->graph, x)));
  // 32 levels of the input: what lies beyond them is cut.
  EXPECT_TRUE(torch::equal(simulated, Output(placed, x.clamp(0, 31 * 0.125))));
  const Tensor stored =
      *lowered->graph.ConstantOf(lowered->graph.FindValue("c.w_quantized"));
  const bool packed = GetParam().packed;
  EXPECT_EQ(stored.dtype(), packed ? graph::DType::kInt4 : graph::DType::kInt8);
  EXPECT_EQ(stored.bytes().size(), packed ? 27u : 54u);
  const Levels levels = SchemeLevels(GetParam().scheme, GetParam().bits);
  const std::vector<int64_t> integers = stored.ToInts();
  if (TableKindOf(GetParam().scheme)) {
    // The first of three channels.
    const std::set<int64_t> used(integers.begin(), integers.begin() + 18);
    EXPECT_LE(used.size(), size_t{1} << GetParam().bits);
    EXPECT_GT(used.size(), 2u);
  }
  for (int64_t level : integers) {
    EXPECT_LE(std::abs(level), levels.qmax);
    if (std::string(GetParam().scheme) == "binary") {
      EXPECT_NE(level, 0);
    }
    if (std::string(GetParam().scheme) == "log2") {
      EXPECT_EQ(std::abs(level) & (std::abs(level) - 1), 0) << level;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, SchemeTest,
    testing::Values(Case{"max_abs", 8, false}, Case{"max_abs", 4, true},
                    Case{"max_abs", 2, true}, Case{"power_of_two", 8, false},
                    Case{"power_of_two", 3, true}, Case{"log2", 4, false},
                    Case{"log2", 3, true}, Case{"lq", 2, false},
                    Case{"lq", 4, false}, Case{"lut", 2, false},
                    Case{"lut", 4, false}, Case{"binary", 1, true},
                    Case{"ternary", 2, true}, Case{"ternary", 2, false}),
    [](const auto& info) {
      return std::string(info.param.scheme) + "_" +
             std::to_string(info.param.bits) +
             (info.param.packed ? "_packed" : "");
    });

// Grids that follow the weights: training finds them anew, whatever they were.
TEST(FittedGridTest, TrainingSimulationAndFileAgreeBitByBit) {
  Graph g;
  g.AddOutput(Conv(&g, "c", Image(&g, 2), 2, 3));
  ASSERT_TRUE(graph::InferShapes(g).ok());
  torch::manual_seed(6);
  const torch::Tensor x = torch::randn({2, 2, 6, 6});
  Numerics numerics = RuntimeNumerics();
  numerics.float_activations = numerics.packed = true;
  numerics.weight_bits = 4;
  for (const auto& [scheme, block] :
       {std::pair{"affine", 0}, {"affine", 8}, {"max_abs", 8}}) {
    numerics.weight_scheme = scheme;
    numerics.block_size = block;
    const Graph placed = PlaceQuantizers(g, numerics)->graph;
    const torch::Tensor simulated = Output(placed, x);
    Graph moved = placed;
    const auto scale = moved.FindValue("c.w.scale");
    moved.SetConstant(
        scale,
        Tensor::Of<float>(moved.ConstantOf(scale)->dims(),
                          std::vector<float>(Floats(moved, scale).size(), 9)));
    EXPECT_FALSE(torch::equal(Output(moved, x), simulated));
    EXPECT_TRUE(torch::equal(Output(TrainingGraph(moved, {}), x), simulated));
    auto executor = runtime::Executor::Create(moved);
    ASSERT_TRUE(executor.ok());
    RefreshWeightScales(moved, executor->get());
    ASSERT_TRUE((*executor)->StoreTo(&moved).ok());
    EXPECT_EQ(Floats(moved, scale), Floats(placed, scale));
    const auto lowered = LowerToQdq(placed);
    ASSERT_TRUE(lowered.ok()) << lowered.status();
    EXPECT_TRUE(torch::equal(Output(lowered->graph, x), simulated));
    const Tensor& stored =
        *lowered->graph.ConstantOf(lowered->graph.FindValue("c.w_quantized"));
    EXPECT_EQ(stored.bytes().size(), 27u);
    EXPECT_EQ(stored.dims(), block > 0 ? std::vector<int64_t>({3, 18})
                                       : std::vector<int64_t>({3, 2, 3, 3}));
  }
}

TEST(PowerOfTwoGridTest, HoldsWhatTheGridHeld) {
  // Scale .1 and zero point 100: from -10 to 15.5.
  const Grid grid = PowerOfTwoGrid({0.1f, 100}, {0, 255});
  EXPECT_EQ(grid.scale, 0.125f);
  EXPECT_EQ(grid.zero_point, 80);
  // A power of two stays, and so does a zero point in the middle.
  EXPECT_EQ(PowerOfTwoGrid({0.25f, 7}, {0, 255}).zero_point, 7);
  EXPECT_EQ(PowerOfTwoGrid({0.1f, 128}, {0, 255}).zero_point, 128);
}

}  // namespace
}  // namespace condense::quantization
