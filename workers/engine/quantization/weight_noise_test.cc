#include "workers/engine/quantization/weight_noise.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/quantization/weight_quantizer.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Tensor;

// y = x w with the weights 7, 2.6, 0 and -1.
Graph Linear() {
  Graph g;
  const auto x = g.AddInput("x", graph::DType::kFloat32,
                            graph::Shape{graph::Dim::Symbol("N"), 4});
  const auto w = g.AddConstant(
      "w", Tensor::Of<float>({4, 1}, std::vector<float>{7, 2.6f, 0, -1}));
  g.AddOutput(g.node(g.AddNode("MatMul", "linear", {x, w}, {"y"})).outputs[0]);
  return g;
}

TEST(WeightNoiseDbTest, IsThatAgainstTheFloatWeightHoweverItWasRounded) {
  const Graph floats = Linear();
  Graph quantized = floats;
  QuantizeWeight(&quantized, quantized.FindNode("linear"),
                 {-1, {-7, 7}, "max_abs"});
  // The scale is 1. To the nearest level .4 is lost, of 49 + 6.76 + 1.
  EXPECT_NEAR(WeightNoiseDb(floats, quantized)["linear"],
              10 * std::log10(56.76 / 0.16), 1e-4);
  // Another rounding moved it down, by .6.
  quantized.SetConstant(
      quantized.FindValue("w"),
      Tensor::Of<float>({4, 1}, std::vector<float>{7, 2, 0, -1}));
  EXPECT_NEAR(WeightNoiseDb(floats, quantized)["linear"],
              10 * std::log10(56.76 / 0.36), 1e-4);
  EXPECT_THAT(WeightNoiseDb(quantized, quantized), testing::IsEmpty())
      << "nothing is lost";
  EXPECT_THAT(WeightNoiseDb(Graph(), quantized), testing::IsEmpty());
}

}  // namespace
}  // namespace condense::quantization
