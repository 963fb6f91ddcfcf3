#include "workers/engine/quantization/stored_levels.h"

#include <cmath>
#include <limits>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::DType;
using graph::Graph;
using graph::Tensor;
using graph::ValueId;
using ::testing::ElementsAre;

// y = x + w, w [2, 3] under a quantizer with these attributes.
Graph Quantized(const std::vector<float>& w, const Tensor& scale,
                const std::vector<int32_t>& zero,
                std::map<std::string, graph::Attribute> attrs) {
  Graph g;
  attrs["role"] = std::string("weight");
  const ValueId x = g.AddInput("x", DType::kFloat32, graph::Shape{2, 3});
  const auto node =
      g.AddNode("FakeQuantize", "q",
                {g.AddConstant("w", Tensor::Of<float>({2, 3}, w)),
                 g.AddConstant("s", scale),
                 g.AddConstant("z", Tensor::Of<int32_t>(scale.dims(), zero))},
                {"wq"}, std::move(attrs), "condense");
  const auto add = g.AddNode("Add", "add", {x, g.node(node).outputs[0]}, {"y"});
  g.AddOutput(g.node(add).outputs[0]);
  return g;
}

std::map<std::string, graph::Attribute> Attributes(const char* dtype,
                                                   int64_t qmin, int64_t qmax) {
  return {{"dtype", std::string(dtype)}, {"qmin", qmin}, {"qmax", qmax}};
}

Tensor Floats(std::vector<int64_t> dims, const std::vector<float>& values) {
  return Tensor::Of<float>(std::move(dims), values);
}

// What the lowered graph computes for x = 0: the weight as the file has it.
std::vector<float> Dequantized(const Graph& g) {
  auto executor = runtime::Executor::Create(g);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  const torch::Tensor y = (*executor)->Forward({torch::zeros({2, 3})})[0];
  return {y.data_ptr<float>(), y.data_ptr<float>() + y.numel()};
}

TEST(StoredLevelsTest, FourBitsArePackedTwoToAByteLowFirst) {
  const Tensor packed = PackLevels(DType::kInt4, {3}, {1, -2, 7});
  EXPECT_EQ(packed.bytes(), std::string("\xe1\x07", 2));
  EXPECT_THAT(packed.ToInts(), ElementsAre(1, -2, 7));
  EXPECT_THAT(PackLevels(DType::kUint4, {2}, {15, 8}).ToInts(),
              ElementsAre(15, 8));
  EXPECT_EQ(PackLevels(DType::kUint16, {1}, {65535}).bytes(), "\xff\xff");
  EXPECT_THAT(PackLevels(DType::kInt16, {1}, {-300}).ToInts(),
              ElementsAre(-300));
}

TEST(StoredLevelsTest, BlocksAlongTheAxisShareAScale) {
  auto attrs = Attributes("int4", -7, 7);
  attrs["axis"] = int64_t{1};
  attrs["block_size"] = int64_t{2};
  // Rows of two blocks: elements 0 and 1, element 2.
  const Graph g =
      Quantized({1, -2, 30, 0.5f, 3.5f, 8}, Floats({2, 2}, {1, 10, 0.5f, 2}),
                {0, 0, 0, 0}, attrs);
  const auto lowered = LowerToQdq(g);
  ASSERT_TRUE(lowered.ok()) << lowered.status();
  const Graph& file = lowered->graph;
  const Tensor& levels = *file.ConstantOf(file.FindValue("w_quantized"));
  EXPECT_EQ(levels.dtype(), DType::kInt4);
  EXPECT_EQ(levels.bytes().size(), 3u);
  EXPECT_THAT(levels.ToInts(), ElementsAre(1, -2, 3, 1, 7, 4));
  const graph::Node& node = file.node(file.order()[0]);
  EXPECT_EQ(node.op, "DequantizeLinear");
  EXPECT_EQ(node.Int("block_size", 0), 2);
  EXPECT_EQ(node.inputs.size(), 2u) << "zeros need no zero points";
  EXPECT_THAT(Dequantized(file), ElementsAre(1, -2, 30, 0.5f, 3.5f, 8));
  EXPECT_EQ(lowered->tensors[0].block_size, 2);
}

TEST(StoredLevelsTest, EveryStorageTypeComputesWhatTheSimulationComputes) {
  const std::vector<float> w = {-3, -0.4f, 0, 0.26f, 1.1f, 2.9f};
  struct Case {
    const char* dtype;
    int64_t qmin, qmax;
    float scale;
    int32_t zero;
  };
  for (const Case& c :
       {Case{"int4", -8, 7, 0.4f, 0}, Case{"uint4", 0, 15, 0.4f, 8},
        Case{"int8", -127, 127, 0.03f, 0}, Case{"uint8", 0, 255, 0.03f, 120},
        Case{"int16", -32767, 32767, 1e-4f, 0},
        Case{"uint16", 0, 65535, 1e-4f, 32768}}) {
    const Graph g = Quantized(w, Floats({}, {c.scale}), {c.zero},
                              Attributes(c.dtype, c.qmin, c.qmax));
    const auto lowered = LowerToQdq(g);
    ASSERT_TRUE(lowered.ok()) << lowered.status();
    EXPECT_EQ(Dequantized(lowered->graph), Dequantized(g)) << c.dtype;
    EXPECT_EQ(lowered->tensors[0].dtype, c.dtype);
  }
}

TEST(StoredLevelsTest, RefusesWhatCannotBeStored) {
  const std::vector<float> w(6, 1);
  const auto reason = [&](const Tensor& scale, std::vector<int32_t> zero,
                          std::map<std::string, graph::Attribute> attrs) {
    return ErrorReason(
        LowerToQdq(Quantized(w, scale, zero, std::move(attrs))).status());
  };
  EXPECT_EQ(reason(Floats({}, {1}), {0}, Attributes("int32", -8, 7)),
            "BAD_QUANTIZER");
  EXPECT_EQ(reason(Floats({}, {1}), {0}, Attributes("int4", -9, 7)),
            "BAD_QUANTIZER");
  EXPECT_EQ(reason(Floats({2}, {1, 1}), {0, 0}, Attributes("int4", -8, 7)),
            "BAD_QUANTIZER")
      << "no axis";
  auto blocks = Attributes("int4", -8, 7);
  blocks["axis"] = int64_t{1};
  EXPECT_EQ(reason(Floats({2}, {1, 1}), {0, 0}, blocks), "BAD_QUANTIZER");
  blocks["block_size"] = int64_t{3};
  EXPECT_EQ(reason(Floats({2, 2}, {1, 1, 1, 1}), {0, 0, 0, 0}, blocks),
            "BAD_QUANTIZER");
}

TEST(StoredLevelsTest, SignalToNoiseMatchesHandComputedValues) {
  const auto snr = [](const std::vector<float>& values,
                      const std::vector<float>& scales, Levels levels,
                      std::vector<int64_t> zeros = {}) {
    StoredQuantizer q;
    q.levels = levels;
    q.axis = scales.size() > 1 ? 0 : -1;
    q.scales = scales;
    q.zero_points = zeros.empty() ? std::vector<int64_t>(scales.size()) : zeros;
    q.dtype = levels.qmin < 0 ? DType::kInt8 : DType::kUint8;
    const auto rows = static_cast<int64_t>(scales.size());
    const auto columns = static_cast<int64_t>(values.size()) / rows;
    const Tensor tensor = Floats({rows, columns}, values);
    return SignalToNoiseDb(tensor, tensor, q);
  };
  // 1 becomes .75 and 2 becomes 2.25: 5 over 2 / 16.
  EXPECT_NEAR(snr({1, 2}, {0.75f}, {-127, 127}), 10 * std::log10(40.0), 1e-6);
  // Per channel: 1 stays, 4 becomes 3: 34 over 2.
  EXPECT_NEAR(snr({1, 1, 4, 4}, {1, 3}, {-127, 127}), 10 * std::log10(17.0),
              1e-6);
  // Clipped: 10 becomes 7: 100 over 9.
  EXPECT_NEAR(snr({10}, {1}, {-7, 7}), 10 * std::log10(100.0 / 9), 1e-6);
  // With a zero point the levels reach from -12 to 3: 4 becomes 3.
  EXPECT_NEAR(snr({-12, 4}, {1}, {0, 15}, {12}), 10 * std::log10(160.0), 1e-6);
  EXPECT_EQ(snr({1, -2, 3}, {1}, {-127, 127}),
            std::numeric_limits<double>::infinity());
}

}  // namespace
}  // namespace condense::quantization
