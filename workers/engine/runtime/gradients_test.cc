// Gradients of what works element by element, picks, moves or sums elements,
// against central differences; layers are in gradients_layers_test.cc.

#include "workers/engine/runtime/gradients_test_util.h"

namespace condense::runtime {
namespace {

using Sizes = std::vector<int64_t>;
using Cases = std::vector<GradientCase>;

class GradientsTest : public testing::TestWithParam<GradientCase> {};

TEST_P(GradientsTest, AreThoseOfCentralDifferences) {
  ExpectGradientsOfDifferences(GetParam());
}

Argument Number(double value) {
  return graph::Tensor::Of<double>({}, std::vector<double>{value});
}

Cases Activations() {
  Cases cases;
  for (const char* op :
       {"Relu", "LeakyRelu", "Elu", "Celu", "Selu", "ThresholdedRelu", "Shrink",
        "HardSigmoid", "HardSwish", "Swish", "Sigmoid", "Tanh", "Softplus",
        "Softsign", "Mish", "Gelu", "Identity", "Dropout"}) {
    cases.push_back({op, {Input{{3, 5}, -4, 4}}});
  }
  cases.push_back(
      {"Gelu", {Input{{7}}}, {{"approximate", std::string("tanh")}}});
  cases.push_back({"PRelu", {Input{{2, 3, 2}}, Input{{3, 1}}}});
  for (const char* op : {"Softmax", "LogSoftmax"}) {
    cases.push_back({op, {Input{{2, 3, 4}}}, {{"axis", int64_t{1}}}});
  }
  cases.push_back({"Clip", {Input{{12}, -3, 9}, Number(0), Number(6)}});
  cases.push_back({"Clip", {Input{{6}}, Number(-0.5)}, {}, 1, "low"});
  cases.push_back({"Clip",
                   {Input{{6}}, Input{{}, -1, -0.9}, Input{{}, 0.9, 1}},
                   {},
                   1,
                   "computed bounds"});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Activation, GradientsTest,
                         testing::ValuesIn(Activations()), CaseName);

Cases Arithmetic() {
  Cases cases;
  for (const char* op :
       {"Abs", "Asinh", "Atan", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor",
        "Neg", "Round", "Sign", "Sin", "Sinh", "Tan"}) {
    cases.push_back({op, {Input{{5}, -1.4, 1.4}}});
  }
  for (const char* op : {"Acos", "Asin", "Atanh"}) {
    cases.push_back({op, {Input{{5}, -0.8, 0.8}}});
  }
  for (const char* op : {"Log", "Reciprocal", "Sqrt"}) {
    cases.push_back({op, {Input{{5}, 0.5, 2}}});
  }
  cases.push_back({"Acosh", {Input{{5}, 1.5, 3}}});
  cases.push_back({"Det", {Input{{2, 3, 3}}}});
  for (const char* op : {"Add", "Sub", "Mul", "Max", "Min"}) {
    cases.push_back({op, {Input{{2, 3, 2}}, Input{{3, 1}}}});
  }
  cases.push_back({"Div", {Input{{2, 3}}, Input{{3}, 0.5, 2}}});
  cases.push_back({"Pow", {Input{{2, 3}, 0.5, 2}, Input{{3}}}});
  cases.push_back({"Mod",
                   {Input{{4}, 0.1, 0.9}, Input{{4}, 1, 2}},
                   {{"fmod", int64_t{1}}}});
  for (const char* op : {"Sum", "Mean"}) {
    cases.push_back({op, {Input{{2, 2}}, Input{{2}}, Input{{1, 2}}}});
  }
  cases.push_back({"MatMul", {Input{{2, 3, 4}}, Input{{4, 2}}}});
  cases.push_back({"MatMul", {Input{{4}}, Input{{2, 4, 3}}}, {}, 1, "vector"});
  cases.push_back({"CumSum", {Input{{2, 4}}, Ints({1})}});
  cases.push_back({"CumSum",
                   {Input{{2, 4}}, Ints({0})},
                   {{"exclusive", int64_t{1}}, {"reverse", int64_t{1}}}});
  cases.push_back({"Einsum",
                   {Input{{2, 3, 4}}, Input{{2, 4, 3}}},
                   {{"equation", std::string("bij,bjk->bik")}}});
  cases.push_back({"Einsum",
                   {Input{{3, 3}}},
                   {{"equation", std::string("ii->i")}},
                   1,
                   "diagonal"});
  cases.push_back({"Einsum",
                   {Input{{2, 3}}, Input{{3}}, Input{{2}}},
                   {{"equation", std::string("ab,b,a")}},
                   1,
                   "three"});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Arithmetic, GradientsTest,
                         testing::ValuesIn(Arithmetic()), CaseName);

Cases Reductions() {
  Cases cases;
  for (const char* op :
       {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd",
        "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"}) {
    cases.push_back({op, {Input{{2, 3, 2}}}, {{"axes", Sizes{0, 2}}}});
    cases.push_back({op, {Input{{2, 3}}}, {{"keepdims", int64_t{0}}}});
  }
  cases.push_back(
      {"ReduceLogSum", {Input{{2, 3}, 0.5, 2}}, {{"axes", Sizes{1}}}});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Reduction, GradientsTest,
                         testing::ValuesIn(Reductions()), CaseName);

GradientCase Scatter(const char* op, graph::Tensor indices, Sizes updates,
                     const char* reduction) {
  return {op,
          {Input{{3, 3}}, std::move(indices), Input{std::move(updates)}},
          {{"reduction", std::string(reduction)}},
          1,
          reduction};
}

Cases Indexing() {
  const graph::Tensor grid =
      graph::Tensor::Of<int64_t>({2, 2}, std::vector<int64_t>{0, -1, 1, 0});
  const graph::Tensor rows =
      graph::Tensor::Of<int64_t>({2, 1}, std::vector<int64_t>{2, 0});
  Cases cases = {
      {"Gather", {Input{{3, 2}}, grid}},
      {"Gather", {Input{{2, 3}}, Ints({2, 2, -1})}, {{"axis", int64_t{1}}}},
      {"GatherElements", {Input{{2, 3}}, grid}, {{"axis", int64_t{1}}}},
      {"GatherND", {Input{{2, 3, 2}}, grid}},
      {"GatherND", {Input{{2, 3}}, rows}, {{"batch_dims", int64_t{1}}}},
      {"Slice",
       {Input{{4, 5}}, Ints({1, 0}), Ints({4, 5}), Ints({0, 1}), Ints({1, 2})}},
      {"Slice",
       {Input{{5}}, Ints({4}), Ints({-6}), Ints({0}), Ints({-2})},
       {},
       1,
       "backwards"},
      {"TopK", {Input{{2, 4}}, Ints({2})}, {}, 2},
      {"Compress",
       {Input{{3, 2}}, Bools({3}, {1, 0, 1})},
       {{"axis", int64_t{0}}}},
      {"Trilu", {Input{{3, 3}}, Ints({1})}},
      {"Trilu", {Input{{3, 3}}}, {{"upper", int64_t{0}}}, 1, "lower"},
      {"ReverseSequence", {Input{{3, 2}}, Ints({2, 3})}},
      {"Where", {Bools({3}, {1, 0, 1}), Input{{2, 3}}, Input{{3}}}}};
  for (const char* reduction : {"none", "add", "mul", "max", "min"}) {
    cases.push_back(Scatter("ScatterElements", grid, {2, 2}, reduction));
    cases.push_back(Scatter("ScatterND", rows, {2, 3}, reduction));
  }
  for (const char* mode : {"constant", "edge", "reflect", "wrap"}) {
    cases.push_back({"Pad",
                     {Input{{3, 4}}, Ints({1, 2, 0, 1})},
                     {{"mode", std::string(mode)}},
                     1,
                     mode});
  }
  cases.push_back(
      {"Pad", {Input{{3, 4}}, Ints({-1, 0, 1, -2})}, {}, 1, "negative"});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Indexing, GradientsTest, testing::ValuesIn(Indexing()),
                         CaseName);

Cases Shapes() {
  return {{"Reshape", {Input{{2, 6}}, Ints({3, -1})}},
          {"Flatten", {Input{{2, 3, 2}}}},
          {"Transpose", {Input{{2, 3, 2}}}, {{"perm", Sizes{2, 0, 1}}}},
          {"Concat", {Input{{2, 3}}, Input{{2, 1}}}, {{"axis", int64_t{1}}}},
          {"Split", {Input{{5, 2}}, Ints({2, 3})}, {}, 2},
          {"Squeeze", {Input{{2, 1, 3}}, Ints({1})}},
          {"Unsqueeze", {Input{{2, 3}}, Ints({0, -1})}},
          {"Expand", {Input{{3, 1}}, Ints({2, 3, 4})}},
          {"Tile", {Input{{2, 2}}, Ints({2, 3})}},
          {"DepthToSpace", {Input{{1, 8, 2, 1}}}, {{"blocksize", int64_t{2}}}},
          {"DepthToSpace",
           {Input{{1, 8, 1, 2}}},
           {{"blocksize", int64_t{2}}, {"mode", std::string("CRD")}}},
          {"SpaceToDepth", {Input{{1, 2, 4, 2}}}, {{"blocksize", int64_t{2}}}},
          {"CenterCropPad", {Input{{5, 2}}, Ints({3, 4})}},
          {"Cast", {Input{{4}}}, {{"to", std::string("float64")}}}};
}
INSTANTIATE_TEST_SUITE_P(Shape, GradientsTest, testing::ValuesIn(Shapes()),
                         CaseName);

Cases Losses() {
  const graph::Tensor labels =
      graph::Tensor::Of<int64_t>({3}, std::vector<int64_t>{2, 0, 1});
  const graph::Tensor weights =
      graph::Tensor::Of<double>({4}, std::vector<double>{1, 0.5, 2, 1});
  Cases cases;
  for (const char* op :
       {"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"}) {
    for (const char* reduction : {"mean", "sum", "none"}) {
      cases.push_back({op,
                       {Input{{3, 4}}, labels, weights},
                       {{"reduction", std::string(reduction)}},
                       1,
                       reduction});
    }
    cases.push_back({op,
                     {Input{{3, 4}}, labels},
                     {{"ignore_index", int64_t{0}}},
                     1,
                     "ignores"});
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Loss, GradientsTest, testing::ValuesIn(Losses()),
                         CaseName);

}  // namespace
}  // namespace condense::runtime
