#include "workers/engine/quantization/binary_codes.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/import/onnx.h"
#include "workers/engine/quantization/patches.h"
#include "workers/engine/quantization/weight_quantizer.h"
#include "workers/engine/quantization/weight_tables.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::ValueId;
using torch::Tensor;

// Of all outputs, per input.
double Lost(const Tensor& difference, const Tensor& hessian) {
  const Tensor d = difference.to(torch::kFloat64);
  return (at::matmul(d, hessian) * d).sum().item<double>();
}

Tensor NearestCodes(const Tensor& weights, int bits) {
  const graph::Tensor w = runtime::FromTorch(weights);
  const graph::Tensor table = FitTable(w, 0, runtime::TableKind::kBasis, bits);
  return runtime::ToTorch(
             ProjectOnTable(w, 0, runtime::TableKind::kBasis, table, 63).weight)
      .value();
}

TEST(BinaryCodesTest, InputsThatAreAlikeShareTheError) {
  // Two inputs that are always equal: only the sum of their weights counts.
  // One bit, weights .9 and -.1: the nearest codes v = .5 give 1 - 0 ...
  const Tensor w = torch::tensor({{0.9f, -0.1f}});
  const Tensor h = torch::tensor({{1.0, 1.0}, {1.0, 1.0}}, torch::kFloat64);
  const BinaryCodes codes = FitBinaryCodes(w, h, 100000, 1, 63);
  // ... and + + with v = .4 the sum exactly.
  EXPECT_NEAR(codes.weights.sum().item<double>(), 0.8, 0.01);
  EXPECT_NEAR(codes.weights[0][0].item<double>(), 0.4, 0.01);
  EXPECT_NEAR(codes.scales[0], 0.4 / 63, 2e-4);
}

TEST(BinaryCodesTest, IndependentInputsLoseWhatTheNearestCodesLose) {
  torch::manual_seed(5);
  const Tensor w = torch::randn({3, 40});
  const Tensor h = at::eye(40, torch::kFloat64);
  for (int bits : {2, 3}) {
    const Tensor codes = FitBinaryCodes(w, h, 100000, bits, 63).weights;
    EXPECT_LE(Lost(w - codes, h), Lost(w - NearestCodes(w, bits), h) + 1e-6);
  }
}

TEST(BinaryCodesTest, LevelsAreFewIntegersTimesTheScale) {
  torch::manual_seed(6);
  const Tensor x = at::matmul(torch::randn({200, 30}), torch::randn({30, 30}));
  const Tensor h = at::matmul(x.t(), x).to(torch::kFloat64) / 200;
  const Tensor w = torch::randn({4, 30});
  const BinaryCodes codes = FitBinaryCodes(w, h, 200, 2, 63);
  EXPECT_LT(Lost(w - codes.weights, h), 0.8 * Lost(w - NearestCodes(w, 2), h));
  for (int64_t o = 0; o < 4; ++o) {
    const Tensor integers = codes.weights[o] / codes.scales[o];
    EXPECT_LT((integers - integers.round()).abs().max().item<double>(), 1e-4);
    EXPECT_LE(integers.abs().max().item<double>(), 63.001);
    EXPECT_LE(std::get<0>(at::_unique(integers.round())).numel(), 4);
  }
}

TEST(BinaryCodesTest, InputsThatWereNeverSeenTakeTheNearestCodes) {
  torch::manual_seed(7);
  const Tensor w = torch::randn({2, 9});
  const Tensor codes =
      FitBinaryCodes(w, at::zeros({9, 9}, torch::kFloat64), 10, 2, 63).weights;
  const Tensor h = at::eye(9, torch::kFloat64);
  EXPECT_LE(Lost(w - codes, h), Lost(w - NearestCodes(w, 2), h) + 1e-6);
}

// Images with long and short waves, as photographs have.
Tensor Images(int64_t count) {
  torch::manual_seed(8);
  Tensor x = at::zeros({count, 3, 32, 32});
  for (int64_t size : {4, 8, 16, 32}) {
    const Tensor noise = torch::randn({count, 3, size, size});
    x = x + at::upsample_bilinear2d(noise, {32, 32}, false, c10::nullopt,
                                    c10::nullopt);
  }
  return x;
}

TEST(BinaryCodesTest, OutputsOfRealLayersLoseLessThanByTheNearestCodes) {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) GTEST_SKIP() << "../shared is not here";
  const auto g = onnx_import::ImportOnnxFile(
      shared + "/models/derived_resnet20_cifar10_op13.onnx");
  ASSERT_TRUE(g.ok()) << g.status();
  const torch::NoGradGuard no_grad;
  auto executor = runtime::Executor::Create(*g).value();
  std::map<ValueId, Tensor> inputs;
  std::vector<ValueId> watched;
  for (NodeId id : g->order()) {
    if (HasWeight(*g, g->node(id))) watched.push_back(g->node(id).inputs[0]);
  }
  executor->Observe(watched, [&](ValueId id, const Tensor& value) {
    inputs[id] = value.clone();
  });
  ASSERT_TRUE(executor->Run({Images(24)}).ok());
  for (int bits : {2, 3}) {
    double mrbiq = 0, lq = 0;
    int layers = 0;
    for (NodeId id : g->order()) {
      const graph::Node& node = g->node(id);
      const auto view = WeightViewOf(*g, node);
      if (!node.Is("Conv") || !view || view->groups > 1) continue;
      // Found on the first 16 images, measured on the others.
      const auto moments = [&](int64_t from, int64_t to) {
        const Tensor x = SamplePatches(
            inputs[node.inputs[0]].slice(0, from, to), node, *view, 2048, 1)[0];
        return (at::matmul(x.t(), x) / x.size(0)).to(torch::kFloat64);
      };
      const Tensor w = runtime::ToTorch(*g->ConstantOf(node.inputs[1]))
                           .value()
                           .reshape({view->outputs, -1});
      const Tensor held_out = moments(16, 24);
      const double scale = Lost(w, held_out);
      const double coded =
          Lost(w - FitBinaryCodes(w, moments(0, 16), 2048, bits, 63).weights,
               held_out) /
          scale;
      const double nearest = Lost(w - NearestCodes(w, bits), held_out) / scale;
      EXPECT_LT(coded, nearest) << node.name << " " << bits;
      mrbiq += coded;
      lq += nearest;
      ++layers;
    }
    EXPECT_LT(mrbiq, 0.5 * lq) << bits;
    std::printf(
        "%d bits, %d layers: error of the outputs lq %.4f, mrbiq %.4f\n", bits,
        layers, lq / layers, mrbiq / layers);
  }
}

}  // namespace
}  // namespace condense::quantization
