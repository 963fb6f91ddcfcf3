#include "workers/engine/quantization/weight_tables.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/quantization/quantization_test_graphs.h"
#include "workers/engine/quantization/weight_quantizer.h"
#include "workers/engine/runtime/weight_projection.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Tensor;
using runtime::TableKind;

TEST(WeightTablesTest, NameTheSchemesAndTheirBits) {
  EXPECT_EQ(TableKindOf("lq"), TableKind::kBasis);
  EXPECT_EQ(TableKindOf("lut"), TableKind::kLevels);
  EXPECT_EQ(TableKindOf("max_abs"), std::nullopt);
  EXPECT_EQ(CodeBits("lq", 3), 3);
  EXPECT_EQ(CodeBits("log2", 4), 4);
  EXPECT_EQ(CodeBits("max_abs", 4), 0);
}

TEST(WeightTablesTest, ChannelsComeApartAndTogether) {
  const Tensor w =
      Tensor::Of<float>({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  using Channels = std::vector<std::vector<float>>;
  EXPECT_EQ(ChannelsOf(w, 0), (Channels{{1, 2, 3}, {4, 5, 6}}));
  EXPECT_EQ(ChannelsOf(w, 1), (Channels{{1, 4}, {2, 5}, {3, 6}}));
  EXPECT_EQ(ChannelsOf(w, -1), (Channels{{1, 2, 3, 4, 5, 6}}));
  for (int64_t axis : {-1, 0, 1}) {
    EXPECT_EQ(FromChannels(ChannelsOf(w, axis), {2, 3}, axis).ToFloats(),
              w.ToFloats());
  }
}

TEST(WeightTablesTest, AChannelHasItsOwnLevelsAndScale) {
  const Tensor w = Tensor::Of<float>(
      {2, 4}, std::vector<float>{4, 1.5f, -1.5f, -4, 70, 10, -10, -70});
  const Tensor table = FitTable(w, 0, TableKind::kBasis, 2);
  EXPECT_EQ(table.dims(), (std::vector<int64_t>{2, 2}));
  const TableProjection p = ProjectOnTable(w, 0, TableKind::kBasis, table, 63);
  EXPECT_NEAR(p.scales[0], 4.0 / 63, 1e-5);
  EXPECT_NEAR(p.scales[1], 70.0 / 63, 1e-4);
  const std::vector<float> y = p.weight.ToFloats();
  // 23.6 and 9 steps.
  EXPECT_NEAR(y[1], 24 * 4.0 / 63, 1e-4);
  EXPECT_NEAR(y[5], 9 * 70.0 / 63, 1e-3);
}

double SquaredError(const Tensor& a, const Tensor& b) {
  const std::vector<float> x = a.ToFloats(), y = b.ToFloats();
  double error = 0;
  for (size_t i = 0; i < x.size(); ++i) error += std::pow(x[i] - y[i], 2);
  return error;
}

Tensor Uniform(const Tensor& w, int bits) {
  std::vector<float> values = w.ToFloats();
  std::vector<float> scales(w.dims()[0]);
  runtime::ProjectChannels(runtime::Projection::kMaxAbs, values.data(), 1,
                           w.dims()[0], w.num_elements() / w.dims()[0],
                           (1 << (bits - 1)) - 1, values.data(), scales.data());
  return Tensor::Of<float>(w.dims(), values);
}

TEST(WeightTablesTest, RealLayersLoseLessThanByUniformLevels) {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) GTEST_SKIP() << "../shared is not here";
  const auto g = onnx_import::ImportOnnxFile(
      shared + "/models/derived_resnet20_cifar10_op13.onnx");
  ASSERT_TRUE(g.ok()) << g.status();
  for (int bits : {2, 3, 4}) {
    double lq = 0, lut = 0, uniform = 0;  // in all
    for (NodeId id : g->order()) {
      if (!g->node(id).Is("Conv") || !HasWeight(*g, g->node(id))) continue;
      const Tensor& w = *g->ConstantOf(g->node(id).inputs[1]);
      const auto error = [&](TableKind kind) {
        const Tensor table = FitTable(w, 0, kind, bits);
        return SquaredError(w, ProjectOnTable(w, 0, kind, table, 63).weight);
      };
      const double of_lq = error(TableKind::kBasis);
      const double of_lut = error(TableKind::kLevels);
      const double of_uniform = SquaredError(w, Uniform(w, bits));
      EXPECT_LT(of_lq, of_uniform) << g->node(id).name << " " << bits;
      EXPECT_LT(of_lut, of_uniform) << g->node(id).name << " " << bits;
      lq += of_lq;
      lut += of_lut;
      uniform += of_uniform;
    }
    EXPECT_LT(lq, 0.6 * uniform) << bits;
    EXPECT_LT(lut, lq) << bits;
    std::printf("%d bits: squared error of uniform levels: lq %.3f, lut %.3f\n",
                bits, lq / uniform, lut / uniform);
  }
}

}  // namespace
}  // namespace condense::quantization
