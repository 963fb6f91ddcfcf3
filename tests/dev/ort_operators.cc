#include <torch/torch.h>

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/dev/ort_cases.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/runtime/executor.h"

namespace condense {
namespace {

using graph::Attribute;
using graph::DType;
using graph::Graph;
using graph::Tensor;
using graph::ValueId;
using Attributes = std::map<std::string, Attribute>;
using Ints = std::vector<int64_t>;

Attribute Text(const char* text) { return std::string(text); }
Attribute Int(int64_t value) { return value; }

Tensor List(const Ints& values) {
  return Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values);
}
Tensor Floats(const std::vector<float>& values) {
  return Tensor::Of<float>({static_cast<int64_t>(values.size())}, values);
}

// Cases of one operator, each named by the operator and its number.
class Cases {
 public:
  Cases() { torch::manual_seed(5); }

  // Over a random input of these dims; an undefined tensor is left out.
  void Add(const std::string& op, const Ints& dims, Attributes attrs = {},
           const std::vector<Tensor>& constants = {}, int outputs = 1) {
    AddOver(op, runtime::FromTorch(torch::randn(dims)), std::move(attrs),
            constants, outputs);
  }

  void AddOver(const std::string& op, const Tensor& x, Attributes attrs = {},
               const std::vector<Tensor>& constants = {}, int outputs = 1) {
    OrtCase c;
    c.name = absl::StrCat(op, "_", ++count_[op]);
    c.inputs = {x};
    c.options.model.opset = 21;
    Graph& g = c.graph;
    std::vector<ValueId> inputs = {g.AddInput(
        "x", x.dtype(), graph::Shape(x.dims().begin(), x.dims().end()))};
    for (const Tensor& constant : constants) {
      inputs.push_back(constant.dtype() == DType::kUndefined
                           ? graph::kNoValue
                           : g.AddConstant("c", constant));
    }
    const std::vector<std::string> names(outputs, "y");
    const auto id = g.AddNode(op, op, inputs, names, std::move(attrs));
    for (ValueId output : g.node(id).outputs) g.AddOutput(output);
    if (!graph::InferShapes(g).ok()) std::abort();
    cases_.push_back(std::move(c));
  }

  std::vector<OrtCase> Take() { return std::move(cases_); }

 private:
  std::map<std::string, int> count_;
  std::vector<OrtCase> cases_;
};

void AddImages(Cases* cases) {
  const Tensor none;
  for (const char* mode : {"linear", "cubic"}) {
    cases->Add("Resize", {1, 2, 8, 9},
               {{"mode", Text(mode)}, {"antialias", Int(1)}},
               {none, Floats({1, 1, 0.5f, 0.4f})});
    cases->Add("Resize", {1, 2, 4, 5}, {{"mode", Text(mode)}},
               {none, none, List({1, 2, 7, 9})});
  }
  for (const char* policy : {"not_larger", "not_smaller"}) {
    cases->Add("Resize", {1, 2, 6, 8},
               {{"mode", Text("linear")},
                {"axes", Ints{2, 3}},
                {"keep_aspect_ratio_policy", Text(policy)}},
               {none, none, List({9, 10})});
  }
  cases->Add("Resize", {1, 1, 6, 6},
             {{"mode", Text("linear")},
              {"coordinate_transformation_mode", Text("half_pixel_symmetric")}},
             {none, Floats({1, 1, 0.6f, 0.7f})});
  const Tensor grid = runtime::FromTorch(torch::rand({1, 4, 5, 2}) * 2.4 - 1.2);
  for (const char* mode : {"linear", "nearest", "cubic"}) {
    for (const char* padding : {"zeros", "border", "reflection"}) {
      cases->Add("GridSample", {1, 2, 6, 7},
                 {{"mode", Text(mode)}, {"padding_mode", Text(padding)}},
                 {grid});
    }
  }
  const Tensor volume =
      runtime::FromTorch(torch::rand({1, 3, 4, 5, 3}) * 2 - 1);
  cases->Add("GridSample", {1, 2, 4, 5, 6},
             {{"mode", Text("linear")}, {"align_corners", Int(1)}}, {volume});
  for (int64_t corners : {0, 1}) {
    cases->Add("AffineGrid", {2, 2, 3}, {{"align_corners", Int(corners)}},
               {List({2, 3, 4, 5})});
    cases->Add("AffineGrid", {1, 3, 4}, {{"align_corners", Int(corners)}},
               {List({1, 2, 3, 4, 5})});
  }
  cases->Add("Col2Im", {1, 12, 25}, {}, {List({6, 6}), List({2, 2})});
  cases->Add("Col2Im", {1, 8, 20},
             {{"pads", Ints{0, 1, 0, 1}}, {"strides", Ints{1, 1}}},
             {List({5, 4}), List({2, 2})});
  cases->Add("CenterCropPad", {5, 8}, {{"axes", Ints{0, 1}}}, {List({7, 4})});
  cases->Add("AveragePool", {1, 2, 9, 9},
             {{"kernel_shape", Ints{3, 3}}, {"dilations", Ints{2, 2}}});
  cases->Add("AveragePool", {1, 2, 9, 9},
             {{"kernel_shape", Ints{3, 3}},
              {"strides", Ints{2, 2}},
              {"pads", Ints{1, 1, 1, 1}},
              {"ceil_mode", Int(1)},
              {"count_include_pad", Int(1)}});
  cases->Add("LpPool", {1, 2, 9, 9},
             {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}});
}

void AddActivations(Cases* cases) {
  cases->Add("Gelu", {3, 5});
  cases->Add("Gelu", {3, 5}, {{"approximate", Text("tanh")}});
  cases->Add("Mish", {3, 5});
  cases->Add("HardSwish", {3, 5});
  cases->Add("GroupNormalization", {2, 6, 4, 4},
             {{"num_groups", Int(3)}, {"epsilon", 1e-3f}},
             {Floats({1, 2, 3, 4, 5, 6}), Floats({0, 1, 0, 2, 0, 3})});
  cases->Add("LayerNormalization", {2, 3, 8}, {},
             {Floats({1, 2, 3, 4, 5, 6, 7, 8})});
}

void AddLayout(Cases* cases) {
  cases->Add("Split", {7, 2}, {{"axis", Int(0)}}, {}, 3);
  cases->Add("Split", {2, 6}, {{"axis", Int(1)}}, {}, 3);
  cases->Add("Pad", {2, 3, 4}, {{"mode", Text("constant")}},
             {List({1, 2}), Tensor::Scalar<float>(3), List({-1})});
  cases->Add("Pad", {2, 3, 4}, {{"mode", Text("wrap")}},
             {List({1, 2, 1, 1}), Tensor(), List({1, 2})});
  cases->Add("Reshape", {2, 0, 3}, {{"allowzero", Int(1)}}, {List({0, 4})});
  cases->Add("DFT", {1, 8, 3, 1}, {{"axis", Int(1)}});
  cases->Add("DFT", {1, 8, 6, 1}, {{"axis", Int(2)}, {"onesided", Int(1)}});
  cases->Add("DFT", {1, 8, 3, 2}, {{"axis", Int(1)}, {"inverse", Int(1)}});
}

void AddReductions(Cases* cases) {
  for (const char* op :
       {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd",
        "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"}) {
    cases->Add(op, {2, 3, 4}, {{"axes", Ints{-1, 0}}, {"keepdims", Int(0)}});
    cases->Add(op, {2, 3, 4}, {{"keepdims", Int(1)}});
  }
  cases->Add("ReduceSum", {2, 3}, {{"noop_with_empty_axes", Int(1)}});
  const Tensor flags(DType::kBool, {2, 3}, std::string("\1\0\1\0\0\1", 6));
  cases->AddOver("ReduceMax", flags, {{"axes", Ints{1}}});
  cases->AddOver("ReduceMin", flags, {{"axes", Ints{1}}});
  const Tensor indices = Tensor::Of<int64_t>({2, 2}, Ints{0, 2, 1, 1});
  const Tensor updates =
      Tensor::Of<float>({2, 2}, std::vector<float>{5, -5, 0.5f, 2});
  for (const char* reduction : {"none", "add", "mul", "max", "min"}) {
    // Twice the same place has no order without a reduction.
    const Tensor at = reduction == std::string("none")
                          ? Tensor::Of<int64_t>({2, 2}, Ints{0, 2, 1, 0})
                          : indices;
    cases->Add("ScatterElements", {3, 3},
               {{"axis", Int(1)}, {"reduction", Text(reduction)}},
               {at, updates});
    cases->Add("ScatterND", {3, 2}, {{"reduction", Text(reduction)}},
               {Tensor::Of<int64_t>({2, 1}, Ints{2, 0}), updates});
  }
}

void AddIntegers(Cases* cases) {
  const Tensor x = Tensor::Of<int32_t>({4}, std::vector<int32_t>{6, 5, -3, 9});
  const Tensor y = Tensor::Of<int32_t>({4}, std::vector<int32_t>{3, 4, 7, -2});
  for (const char* op : {"BitwiseAnd", "BitwiseOr", "BitwiseXor"}) {
    cases->AddOver(op, x, {}, {y});
  }
  cases->AddOver("BitwiseNot", x);
  cases->AddOver("IsInf", Floats({1, -INFINITY, INFINITY, NAN}));
  cases->AddOver("IsInf", Floats({1, -INFINITY, INFINITY, NAN}),
                 {{"detect_negative", Int(0)}});
}

}  // namespace

std::vector<OrtCase> NewerOperators() {
  Cases cases;
  AddImages(&cases);
  AddActivations(&cases);
  AddLayout(&cases);
  AddReductions(&cases);
  AddIntegers(&cases);
  return cases.Take();
}

}  // namespace condense
