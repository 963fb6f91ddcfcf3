// Gradients of convolutions, pooling, resizing, normalisation, recurrent
// layers, signal operators and control flow against central differences.

#include "workers/engine/runtime/gradients_test_util.h"

namespace condense::runtime {
namespace {

using graph::DType;
using graph::Graph;
using graph::ValueId;
using Sizes = std::vector<int64_t>;
using Cases = std::vector<GradientCase>;
using Attributes = std::map<std::string, graph::Attribute>;

class LayerGradientsTest : public testing::TestWithParam<GradientCase> {};

TEST_P(LayerGradientsTest, AreThoseOfCentralDifferences) {
  ExpectGradientsOfDifferences(GetParam());
}

Cases Convolutions() {
  const std::string same = "SAME_UPPER";
  return {
      {"Conv", {Input{{1, 2, 5}}, Input{{3, 2, 2}}, Input{{3}}}},
      {"Conv",
       {Input{{2, 2, 4, 5}}, Input{{2, 2, 3, 3}}, Input{{2}}},
       {{"strides", Sizes{2, 1}}, {"pads", Sizes{1, 1, 1, 1}}},
       1,
       "strides"},
      {"Conv",
       {Input{{1, 4, 4, 4}}, Input{{4, 2, 3, 2}}},
       {{"group", int64_t{2}}, {"pads", Sizes{0, 1, 2, 0}}},
       1,
       "groups and uneven pads"},
      {"Conv",
       {Input{{1, 3, 5, 5}}, Input{{3, 1, 3, 3}}},
       {{"group", int64_t{3}}, {"dilations", Sizes{2, 1}}},
       1,
       "depthwise dilated"},
      {"Conv",
       {Input{{1, 2, 5, 4}}, Input{{2, 2, 2, 2}}},
       {{"auto_pad", same}, {"strides", Sizes{2, 2}}},
       1,
       "same"},
      {"Conv", {Input{{1, 2, 3, 3, 2}}, Input{{2, 2, 2, 2, 1}}}, {}, 1, "3d"},
      {"ConvTranspose", {Input{{1, 2, 4}}, Input{{2, 3, 2}}}},
      {"ConvTranspose",
       {Input{{1, 4, 3, 3}}, Input{{4, 2, 3, 2}}, Input{{4}}},
       {{"group", int64_t{2}},
        {"strides", Sizes{2, 2}},
        {"pads", Sizes{1, 0, 1, 0}},
        {"output_padding", Sizes{1, 0}}},
       1,
       "groups"},
      {"ConvTranspose",
       {Input{{1, 2, 3, 3}}, Input{{2, 2, 2, 2}}},
       {{"dilations", Sizes{2, 1}}, {"pads", Sizes{0, 1, 1, 0}}},
       1,
       "dilated with uneven pads"},
      {"Col2Im", {Input{{1, 8, 4}}, Ints({3, 3}), Ints({2, 2})}},
      {"Gemm",
       {Input{{3, 2}}, Input{{4, 3}}, Input{{4}}},
       {{"transA", int64_t{1}},
        {"transB", int64_t{1}},
        {"alpha", 0.5f},
        {"beta", 2.0f}}}};
}
INSTANTIATE_TEST_SUITE_P(Convolution, LayerGradientsTest,
                         testing::ValuesIn(Convolutions()), CaseName);

Cases Pools() {
  const Attributes plain = {{"kernel_shape", Sizes{2, 3}}};
  const Attributes ceil = {{"kernel_shape", Sizes{3, 3}},
                           {"strides", Sizes{2, 2}},
                           {"ceil_mode", int64_t{1}}};
  const Attributes uneven = {{"kernel_shape", Sizes{3, 2}},
                             {"pads", Sizes{1, 0, 0, 1}}};
  const Attributes dilated = {{"kernel_shape", Sizes{2, 2}},
                              {"dilations", Sizes{2, 1}},
                              {"pads", Sizes{1, 1, 1, 1}}};
  Cases cases;
  for (const char* op : {"MaxPool", "AveragePool", "LpPool"}) {
    cases.push_back({op, {Input{{2, 2, 4, 4}, 0.1, 2}}, plain});
    cases.push_back({op, {Input{{1, 2, 6, 5}, 0.1, 2}}, ceil, 1, "ceil"});
    cases.push_back({op, {Input{{1, 1, 4, 4}, 0.1, 2}}, uneven, 1, "uneven"});
    cases.push_back({op, {Input{{1, 1, 4, 4}, 0.1, 2}}, dilated, 1, "dilated"});
  }
  for (Attributes attrs : {ceil, uneven, dilated}) {
    attrs["count_include_pad"] = int64_t{1};
    cases.push_back(
        {"AveragePool", {Input{{1, 2, 4, 6}}}, attrs, 1, "counts pads"});
  }
  cases.push_back({"MaxPool",
                   {Input{{1, 2, 7}}},
                   {{"kernel_shape", Sizes{3}}, {"strides", Sizes{2}}},
                   1,
                   "1d"});
  cases.push_back({"AveragePool",
                   {Input{{1, 1, 3, 3, 3}}},
                   {{"kernel_shape", Sizes{2, 2, 2}}},
                   1,
                   "3d"});
  for (const char* op :
       {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}) {
    cases.push_back({op, {Input{{2, 2, 3, 2}, 0.1, 2}}});
  }
  const graph::Tensor at =
      graph::Tensor::Of<int64_t>({1, 1, 1, 2}, std::vector<int64_t>{1, 6});
  cases.push_back({"MaxUnpool",
                   {Input{{1, 1, 1, 2}}, at},
                   {{"kernel_shape", Sizes{2, 2}}, {"strides", Sizes{2, 2}}}});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Pooling, LayerGradientsTest,
                         testing::ValuesIn(Pools()), CaseName);

GradientCase Resize(Attributes attrs, Sizes sizes, const std::string& what) {
  GradientCase c{
      "Resize",
      {Input{{1, 2, 4, 3}}, std::monostate(), std::monostate(), Ints(sizes)},
      std::move(attrs),
      1,
      what};
  return c;
}

Cases Resizes() {
  Cases cases;
  const std::string transforms[] = {
      "half_pixel",    "half_pixel_symmetric", "pytorch_half_pixel",
      "align_corners", "asymmetric",           "tf_half_pixel_for_nn"};
  for (const std::string mode : {"nearest", "linear", "cubic"}) {
    for (const std::string& transform : transforms) {
      const Attributes attrs = {{"mode", mode},
                                {"coordinate_transformation_mode", transform}};
      cases.push_back(Resize(attrs, {1, 2, 7, 4}, mode + transform));
    }
  }
  for (const std::string nearest :
       {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"}) {
    cases.push_back(
        Resize({{"nearest_mode", nearest},
                {"coordinate_transformation_mode", std::string("asymmetric")}},
               {1, 2, 6, 6}, nearest));
  }
  for (const std::string mode : {"linear", "cubic"}) {
    cases.push_back(Resize({{"mode", mode}, {"antialias", int64_t{1}}},
                           {1, 2, 2, 2}, mode + "antialias"));
  }
  cases.push_back(
      Resize({{"mode", std::string("cubic")}, {"exclude_outside", int64_t{1}}},
             {1, 2, 7, 5}, "exclude outside"));
  GradientCase crop = Resize(
      {{"mode", std::string("linear")},
       {"coordinate_transformation_mode", std::string("tf_crop_and_resize")}},
      {1, 2, 3, 3}, "crop");
  crop.arguments[1] = graph::Tensor::Of<float>(
      {8}, std::vector<float>{0, 0, 0.2f, 0.4f, 1, 1, 0.9f, 1.2f});
  cases.push_back(crop);
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Resize, LayerGradientsTest,
                         testing::ValuesIn(Resizes()), CaseName);

Cases Normalisations() {
  const graph::Tensor zeros =
      graph::Tensor::Of<double>({2}, std::vector<double>{0, 0});
  const graph::Tensor ones =
      graph::Tensor::Of<double>({2}, std::vector<double>{1, 1});
  return {
      {"BatchNormalization",
       {Input{{3, 2, 2, 2}}, Input{{2}}, Input{{2}}, zeros, ones}},
      {"InstanceNormalization", {Input{{2, 2, 3, 2}}, Input{{2}}, Input{{2}}}},
      {"GroupNormalization",
       {Input{{2, 4, 3}}, Input{{4}}, Input{{4}}},
       {{"num_groups", int64_t{2}}}},
      {"LayerNormalization", {Input{{2, 3, 4}}, Input{{4}}, Input{{4}}}},
      {"LayerNormalization",
       {Input{{2, 3, 4}}, Input{{3, 1}}, Input{{4}}},
       {{"axis", int64_t{1}}},
       1,
       "broadcasts"},
      {"RMSNormalization", {Input{{2, 5}}, Input{{5}}}},
      {"LpNormalization", {Input{{2, 5}}}},
      {"LpNormalization", {Input{{2, 5}}}, {{"p", int64_t{1}}}, 1, "l1"},
      {"MeanVarianceNormalization", {Input{{2, 2, 2, 2}}}},
      {"LRN", {Input{{2, 5, 2}}}, {{"size", int64_t{3}}, {"alpha", 0.3f}}}};
}
INSTANTIATE_TEST_SUITE_P(Normalisation, LayerGradientsTest,
                         testing::ValuesIn(Normalisations()), CaseName);

// Hidden size 2, input size 3, three steps, a batch of two.
GradientCase Recurrent(const char* op, int64_t gates, int outputs,
                       const std::string& direction, Attributes attrs = {},
                       bool lengths = false) {
  const int64_t d = direction == "bidirectional" ? 2 : 1;
  attrs["hidden_size"] = int64_t{2};
  attrs["direction"] = direction;
  GradientCase c{op,
                 {Input{{3, 2, 3}}, Input{{d, 2 * gates, 3}},
                  Input{{d, 2 * gates, 2}}, Input{{d, 4 * gates}}},
                 std::move(attrs),
                 outputs,
                 direction};
  c.arguments.push_back(std::monostate());
  if (lengths) {
    c.arguments.back() =
        graph::Tensor::Of<int32_t>({2}, std::vector<int32_t>{3, 2});
    c.what += " lengths";
  }
  c.arguments.push_back(Input{{d, 2, 2}});
  if (gates == 4) c.arguments.push_back(Input{{d, 2, 2}});
  return c;
}

Cases RecurrentLayers() {
  Cases cases;
  for (const char* direction : {"forward", "reverse", "bidirectional"}) {
    cases.push_back(Recurrent("RNN", 1, 2, direction));
    cases.push_back(Recurrent("GRU", 3, 2, direction));
    cases.push_back(Recurrent("GRU", 3, 2, direction,
                              {{"linear_before_reset", int64_t{1}}}));
    cases.push_back(Recurrent("LSTM", 4, 3, direction));
  }
  cases.push_back(Recurrent("LSTM", 4, 3, "bidirectional", {}, true));
  cases.push_back(Recurrent("GRU", 3, 2, "forward", {}, true));
  cases.push_back(Recurrent("LSTM", 4, 3, "forward",
                            {{"clip", 0.4f}, {"input_forget", int64_t{1}}}));
  GradientCase peephole = Recurrent("LSTM", 4, 3, "forward");
  peephole.arguments.push_back(Input{{1, 6}});
  peephole.what = "peepholes";
  cases.push_back(peephole);
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Recurrent, LayerGradientsTest,
                         testing::ValuesIn(RecurrentLayers()), CaseName);

Cases SignalsAndDetection() {
  return {{"DFT", {Input{{1, 5, 1}}}},
          {"DFT", {Input{{1, 4, 2}}}, {{"inverse", int64_t{1}}}, 1, "inverse"},
          {"DFT", {Input{{1, 6, 1}}}, {{"onesided", int64_t{1}}}, 1, "half"},
          {"STFT", {Input{{1, 8, 1}}, Ints({2}), Input{{4}}}},
          {"GridSample", {Input{{1, 2, 3, 3}}, Input{{1, 2, 2, 2}, -0.9, 0.9}}},
          {"AffineGrid", {Input{{1, 2, 3}}, Ints({1, 1, 2, 3})}},
          {"RoiAlign",
           {Input{{1, 1, 5, 5}},
            graph::Tensor::Of<double>({1, 4},
                                      std::vector<double>{0.5, 0.5, 3.6, 3.2}),
            graph::Tensor::Of<int64_t>({1}, std::vector<int64_t>{0})},
           {{"output_height", int64_t{2}},
            {"output_width", int64_t{2}},
            {"sampling_ratio", int64_t{2}}}}};
}
INSTANTIATE_TEST_SUITE_P(SignalAndDetection, LayerGradientsTest,
                         testing::ValuesIn(SignalsAndDetection()), CaseName);

using SharedGraph = std::shared_ptr<const Graph>;

// state * x + captured, and the state again as what is scanned.
SharedGraph LoopBody() {
  Graph g;
  g.AddInput("i", DType::kInt64, graph::Shape{});
  const ValueId alive = g.AddInput("alive", DType::kBool, graph::Shape{});
  const ValueId state = g.AddInput("state", DType::kFloat64, graph::Shape{2});
  const ValueId w = g.AddInput("w", DType::kFloat64, graph::Shape{2});
  const auto op = [&](const char* name, std::vector<ValueId> in) {
    return g.node(g.AddNode(name, "", std::move(in), {"y"})).outputs[0];
  };
  const ValueId next = op("Add", {op("Mul", {state, w}), w});
  g.AddOutput(op("Identity", {alive}));
  g.AddOutput(next);
  g.AddOutput(op("Tanh", {next}));
  return std::make_shared<Graph>(std::move(g));
}

SharedGraph BranchOf(const char* name) {
  Graph g;
  const ValueId x = g.AddInput("x", DType::kFloat64, graph::Shape{3});
  g.AddOutput(g.node(g.AddNode(name, "", {x}, {"y"})).outputs[0]);
  return std::make_shared<Graph>(std::move(g));
}

// state + scanned * state, scanned out as it is.
SharedGraph ScanBody() {
  Graph g;
  const ValueId state = g.AddInput("state", DType::kFloat64, graph::Shape{2});
  const ValueId x = g.AddInput("x", DType::kFloat64, graph::Shape{2});
  const auto op = [&](const char* name, std::vector<ValueId> in) {
    return g.node(g.AddNode(name, "", std::move(in), {"y"})).outputs[0];
  };
  const ValueId next = op("Add", {state, op("Mul", {x, state})});
  g.AddOutput(next);
  g.AddOutput(op("Sin", {next}));
  return std::make_shared<Graph>(std::move(g));
}

Cases ControlFlow() {
  Cases cases;
  for (bool branch : {true, false}) {
    cases.push_back({"If",
                     {Bools({}, {branch ? char{1} : char{0}}), Input{{3}}},
                     {{"then_branch", BranchOf("Tanh")},
                      {"else_branch", BranchOf("Sin")},
                      {"captures", int64_t{1}}},
                     1,
                     branch ? "then" : "else"});
  }
  cases.push_back({"Loop",
                   {Ints({3}), Bools({}, {1}), Input{{2}}, Input{{2}}},
                   {{"body", LoopBody()}, {"captures", int64_t{1}}},
                   2});
  cases.push_back({"Scan",
                   {Input{{2}}, Input{{3, 2}}},
                   {{"body", ScanBody()}, {"num_scan_inputs", int64_t{1}}},
                   2});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(ControlFlow, LayerGradientsTest,
                         testing::ValuesIn(ControlFlow()), CaseName);

}  // namespace
}  // namespace condense::runtime
