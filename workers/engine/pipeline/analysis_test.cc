#include "workers/engine/pipeline/analysis.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/human.h"
#include "common/profiles/profiles.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/parse.h"
#include "workers/engine/pipeline/analysis_text.h"
#include "workers/engine/pipeline/roofline.h"

namespace condense::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kProfile[] = "onnxruntime-cpu-x86-vnni";

std::string Floats(const std::string& name, const std::vector<int64_t>& dims) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  std::string bytes;
  for (int64_t i = 0; i < count; ++i) {
    const float value = 0.01f * static_cast<float>(i % 7 - 3);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return absl::StrCat("const ", name, ": float32 [", absl::StrJoin(dims, ", "),
                      "] = base64 \"", absl::Base64Escape(bytes), "\"\n");
}

// Two convolutions that go through a sum, one behind them, a product of
// activations, a deconvolution and a layer in a loop.
graph::Graph Model() {
  auto graph = graph::Parse(absl::StrCat(
      "graph model opset 17 {\n"
      "input x: float32 [N, 3, 8, 8] input trips: int64 []\n",
      Floats("wa", {16, 3, 3, 3}), Floats("wb", {16, 3, 3, 3}),
      Floats("wc", {8, 16, 1, 1}), Floats("wd", {8, 4, 2, 2}),
      "a = Conv(x, wa) {pads=[1, 1, 1, 1]}\n"
      "b = Conv(x, wb) {pads=[1, 1, 1, 1]}\n"
      "sum = Add(a, b) relu = Relu(sum) c = Conv(relu, wc)\n"
      "d = ConvTranspose(c, wd) {strides=[2, 2]}\n"
      "product = MatMul(c, c)\n"
      "looped = Loop(trips, _, product) {captures=0, body=graph b opset 17 {\n"
      "  input i: int64 [] input c: bool [] input s: float32 ?\n",
      Floats("wl", {8, 8}),
      "  l = MatMul(s, wl) output c output l }}\n"
      "output d output looped }"));
  EXPECT_TRUE(graph.ok()) << graph.status();
  EXPECT_TRUE(graph::InferShapes(*graph).ok()) << graph::InferShapes(*graph);
  return *std::move(graph);
}

Analysis Analyzed(const graph::Graph& graph) {
  const auto profile = profiles::LoadProfile(kProfile);
  EXPECT_TRUE(profile.ok()) << profile.status();
  auto analysis = AnalyzeGraph(graph, 10000, *profile);
  EXPECT_TRUE(analysis.ok()) << analysis.status();
  return *std::move(analysis);
}

const LayerAnalysis& Layer(const Analysis& analysis, const std::string& name) {
  for (const LayerAnalysis& layer : analysis.layers) {
    if (layer.name == name) return layer;
  }
  ADD_FAILURE() << name;
  return analysis.layers[0];
}

TEST(AnalysisTest, CoupledChannelsAreNamedByTheirGroup) {
  const Analysis analysis = Analyzed(Model());
  EXPECT_EQ(analysis.prunable_channels, 16);
  EXPECT_EQ(analysis.prunable_groups, 1);
  EXPECT_EQ(Layer(analysis, "a").prunable_channels, 16);
  EXPECT_EQ(Layer(analysis, "a").prune_group, "a");
  EXPECT_EQ(Layer(analysis, "b").prune_group, "a");
  EXPECT_EQ(Layer(analysis, "c").prunable_channels, 0);
  EXPECT_THAT(Layer(analysis, "c").prune_frozen, Not(""));
}

TEST(AnalysisTest, LayersThatStayInFloatSayWhy) {
  const Analysis analysis = Analyzed(Model());
  EXPECT_TRUE(Layer(analysis, "a").quantizable);
  EXPECT_EQ(Layer(analysis, "a").quantize_frozen, "");
  EXPECT_EQ(Layer(analysis, "d").quantize_frozen,
            "there is no integer kernel for ConvTranspose");
  EXPECT_EQ(Layer(analysis, "product").quantize_frozen,
            "both operands are activations");
  const LayerAnalysis& inner = Layer(analysis, "looped/l");
  const std::string reason =
      "it stands in a body of Loop (node looped), which depends on data";
  EXPECT_EQ(inner.prune_frozen, reason);
  EXPECT_EQ(inner.quantize_frozen, reason);
}

TEST(AnalysisTest, TheWholeIsTheSumOfItsOperators) {
  const Analysis analysis = Analyzed(Model());
  graph::Cost cost;
  double seconds = 0;
  int count = 0;
  for (const OperatorAnalysis& op : analysis.operators) {
    cost += op.cost;
    seconds += op.seconds;
    count += op.count;
  }
  EXPECT_EQ(count, 8);
  EXPECT_EQ(cost.macs, analysis.cost.macs);
  EXPECT_EQ(cost.parameter_bytes, 4 * (2 * 432 + 128 + 128 + 64));
  EXPECT_DOUBLE_EQ(seconds, analysis.seconds);
  EXPECT_LT(*analysis.seconds_quantized, analysis.seconds);
}

TEST(AnalysisTest, FourBitsHalveTheQuantizedWeightsAndTheirZeroPoints) {
  const Analysis analysis = Analyzed(Model());
  // And some lengths in the file take a byte less.
  EXPECT_NEAR(static_cast<double>(*analysis.size_8bit - *analysis.size_4bit),
              (2 * 432 + 128) / 2 + (16 + 16 + 8) / 2, 10);
}

TEST(RooflineTest, IsTheGreaterOfComputeAndTraffic) {
  const graph::Graph graph = Model();
  v1::Roofline roofline;
  roofline.set_float_macs_per_second(1e6);
  roofline.set_int8_macs_per_second(1e6);
  roofline.set_bytes_per_second(1e30);
  const auto seconds = EstimateSecondsPerNode(graph, roofline);
  EXPECT_DOUBLE_EQ(seconds[graph.FindNode("a")], 16 * 64 * 27 / 1e6);
  EXPECT_NEAR(seconds[graph.FindNode("relu")], 0, 1e-20);
  roofline.set_bytes_per_second(1e3);
  const auto slow = EstimateSecondsPerNode(graph, roofline);
  EXPECT_DOUBLE_EQ(slow[graph.FindNode("relu")], 16 * 64 * 4 / 1e3);
  EXPECT_DOUBLE_EQ(slow[graph.FindNode("a")],
                   std::max(16 * 64 * 27 / 1e6, (16 * 64 + 432) * 4 / 1e3));
}

// Names of the layers' table, in order.
std::vector<std::string> Rows(const std::string& text) {
  std::vector<std::string> names;
  bool inside = false;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (inside && words.empty()) break;
    if (inside) names.emplace_back(words[0]);
    inside |= !words.empty() && words[0] == "LAYER";
  }
  return names;
}

TEST(AnalysisTextTest, LayersAreSortedByWhatIsAskedFor) {
  const graph::Graph graph = Model();
  const Analysis analysis = Analyzed(graph);
  const auto rows = [&](AnalysisSort sort) {
    return Rows(AnalysisText(graph, analysis, {.sort = sort}));
  };
  EXPECT_THAT(rows(AnalysisSort::kBytes),
              ElementsAre("a", "b", "c", "d", "looped", "product", "looped/l"));
  EXPECT_THAT(rows(AnalysisSort::kMacs),
              ElementsAre("a", "b", "c", "d", "product", "looped", "looped/l"));
  EXPECT_THAT(rows(AnalysisSort::kOrder),
              ElementsAre("a", "b", "c", "d", "product", "looped", "looped/l"));
}

TEST(AnalysisTextTest, NoLineIsWiderThanTheTerminal) {
  const graph::Graph graph = Model();
  Analysis analysis = Analyzed(graph);
  analysis.layers[0].name = std::string(90, 'a') + "/conv";
  for (int width : {80, 100, 132, 200}) {
    const std::string text =
        AnalysisText(graph, analysis, {.width = width, .layers_max = 3});
    for (absl::string_view line : absl::StrSplit(text, '\n')) {
      EXPECT_LE(DisplayWidth(std::string(line)), width) << line;
    }
    EXPECT_THAT(text, HasSubstr("a/conv")) << "cut in the middle";
    EXPECT_THAT(text, HasSubstr("QUANTIZE"));
  }
}

TEST(AnalysisTextTest, AFewLayersSayWhatIsLeft) {
  const graph::Graph graph = Model();
  const Analysis analysis = Analyzed(graph);
  const std::string text =
      AnalysisText(graph, analysis, {.layers_max = 2, .default_profile = true});
  EXPECT_THAT(text, HasSubstr(".. and 5 more: 27.0 % of the bytes"));
  EXPECT_THAT(text, HasSubstr(", the default;"));
  EXPECT_THAT(AnalysisText(graph, analysis, {}), Not(HasSubstr("more: ")));
}

TEST(AnalysisJsonTest, HasTheFieldsOfItsDescription) {
  const graph::Graph graph = Model();
  const auto json = AnalysisJson(graph, Analyzed(graph));
  EXPECT_EQ(json["name"], "model");
  EXPECT_EQ(json["size_bytes"], 10000);
  EXPECT_EQ(json["inputs"][0]["shape"], "[N, 3, 8, 8]");
  EXPECT_EQ(json["operators"]["Conv"], 3);
  EXPECT_EQ(json["profile"], kProfile);
  EXPECT_EQ(json["layers"].size(), 7u);
  EXPECT_EQ(json["layers"][0]["name"], "a");
  EXPECT_EQ(json["layers"][0]["macs"], 16 * 64 * 27);
  EXPECT_EQ(json["layers"][0]["prunable_channels"], 16);
  EXPECT_EQ(json["layers"][0]["quantizable"], true);
  EXPECT_FALSE(json["layers"][0].contains("frozen_reason"));
  EXPECT_TRUE(json["layers"][2].contains("frozen_reason"));
  EXPECT_LT(json["predicted_size_bytes"]["bits_4"],
            json["predicted_size_bytes"]["bits_8"]);
}

}  // namespace
}  // namespace condense::pipeline
