#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "tests/dev/ort_cases.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/quantization/codebook.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/runtime/executor.h"

namespace condense {
namespace {

using graph::Attribute;
using graph::DType;
using graph::Graph;
using graph::Tensor;
using graph::ValueId;
using quantization::Codebook;

constexpr int64_t kIn = 32, kOut = 24;

Tensor Random(const std::vector<int64_t>& dims) {
  torch::manual_seed(11);
  return runtime::FromTorch(torch::randn(dims));
}

// How the weight and the input are quantized.
struct Form {
  const char* dtype;
  int64_t qmin, qmax;
  // -1: per tensor.
  int64_t axis = -1;
  int64_t block = 0;
  int32_t zero = 0;
  // Of the input; null: float.
  const char* activation = nullptr;
};

ValueId Quantizer(Graph* g, ValueId x, const std::string& name,
                  std::vector<int64_t> dims, float scale, int32_t zero,
                  std::map<std::string, Attribute> attrs) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  std::vector<float> scales(count);
  for (int64_t i = 0; i < count; ++i) {
    scales[i] = scale * (1 + 0.01f * static_cast<float>(i % 7));
  }
  const auto node = g->AddNode(
      "FakeQuantize", name,
      {x, g->AddConstant(name + "_scale", Tensor::Of<float>(dims, scales)),
       g->AddConstant(
           name + "_zero",
           Tensor::Of<int32_t>(dims, std::vector<int32_t>(count, zero)))},
      {name + "_y"}, std::move(attrs), "condense");
  return g->node(node).outputs[0];
}

// x [N, 32] times a quantized w [32, 24].
OrtCase Quantized(const std::string& name, const Form& form) {
  Graph g;
  ValueId x = g.AddInput("x", DType::kFloat32,
                         graph::Shape{graph::Dim::Symbol("N"), kIn});
  if (form.activation != nullptr) {
    const bool wide =
        graph::DTypeBits(graph::DTypeFromName(form.activation)) == 16;
    x = Quantizer(&g, x, "act", {}, wide ? 1e-4f : 0.03f, 0,
                  {{"qmin", int64_t{wide ? -32768 : -128}},
                   {"qmax", int64_t{wide ? 32767 : 127}},
                   {"dtype", std::string(form.activation)},
                   {"role", std::string("activation")}});
  }
  std::map<std::string, Attribute> attrs = {{"qmin", form.qmin},
                                            {"qmax", form.qmax},
                                            {"dtype", std::string(form.dtype)},
                                            {"role", std::string("weight")}};
  std::vector<int64_t> dims;
  if (form.axis >= 0) {
    attrs["axis"] = form.axis;
    dims = {form.axis == 0 ? kIn : kOut};
  }
  if (form.block > 0) {
    attrs["block_size"] = form.block;
    dims = {kIn, kOut};
    dims[form.axis] = (dims[form.axis] + form.block - 1) / form.block;
  }
  const float scale =
      2.5f / static_cast<float>(std::min(
                 form.qmax, -form.qmin > 0 ? -form.qmin : form.qmax / 2));
  const ValueId w = Quantizer(&g, g.AddConstant("w", Random({kIn, kOut})), "wq",
                              dims, scale, form.zero, std::move(attrs));
  g.AddOutput(g.node(g.AddNode("MatMul", "matmul", {x, w}, {"y"})).outputs[0]);
  if (!graph::InferShapes(g).ok()) std::abort();
  auto lowered = quantization::LowerToQdq(g);
  if (!lowered.ok()) std::abort();
  OrtCase c{name, std::move(lowered->graph), {Random({4, kIn})}, {}};
  c.options.model.opset = 21;
  return c;
}

// x [N, 128] times int8 levels of w [128, 64], stored as codes into a table.
OrtCase Coded(const std::string& name, int64_t axis, bool quantized_input) {
  constexpr int64_t kRows = 128, kColumns = 64;
  Graph g;
  ValueId x = g.AddInput("x", DType::kFloat32,
                         graph::Shape{graph::Dim::Symbol("N"), kRows});
  if (quantized_input) {
    x = Quantizer(&g, x, "act", {}, 0.03f, 0,
                  {{"qmin", int64_t{-128}},
                   {"qmax", int64_t{127}},
                   {"dtype", std::string("int8")},
                   {"role", std::string("activation")}});
  }
  std::map<std::string, Attribute> attrs = {
      {"qmin", int64_t{-63}},
      {"qmax", int64_t{63}},
      {"dtype", std::string("int8")},
      {"code_dtype", std::string("uint4")},
      {"role", std::string("weight")}};
  std::vector<int64_t> dims;
  if (axis >= 0) {
    attrs["axis"] = axis;
    dims = {axis == 0 ? kRows : kColumns};
  }
  // Eight levels, the scale times -63, -40, ... 63 in each channel.
  std::vector<float> values;
  for (int64_t i = 0; i < kRows * kColumns; ++i) {
    const int64_t channel = axis < 0    ? 0
                            : axis == 0 ? i / kColumns
                                        : i % kColumns;
    const float scale = 0.02f * (1 + 0.01f * static_cast<float>(channel % 7));
    const int64_t level = (i * 7 + i / 13) % 8;
    values.push_back(scale * static_cast<float>(level * level * 2 - 40));
  }
  const ValueId w = Quantizer(
      &g, g.AddConstant("w", Tensor::Of<float>({kRows, kColumns}, values)),
      "wq", dims, 0.02f, 0, std::move(attrs));
  g.AddOutput(g.node(g.AddNode("MatMul", "matmul", {x, w}, {"y"})).outputs[0]);
  if (!graph::InferShapes(g).ok()) std::abort();
  auto lowered = quantization::LowerToQdq(g);
  if (!lowered.ok() ||
      lowered->graph.FindValue("w_quantized_codes") == graph::kNoValue) {
    std::abort();
  }
  OrtCase c{name, std::move(lowered->graph), {Random({4, kRows})}, {}};
  c.options.model.opset = 21;
  return c;
}

Graph Plain(const Tensor& weight) {
  Graph g;
  const ValueId x = g.AddInput("x", DType::kFloat32,
                               graph::Shape{graph::Dim::Symbol("N"), kIn});
  const ValueId w = g.AddConstant("w", weight);
  g.AddOutput(g.node(g.AddNode("MatMul", "matmul", {x, w}, {"y"})).outputs[0]);
  if (!graph::InferShapes(g).ok()) std::abort();
  return g;
}

OrtCase Shared(const std::string& name, Codebook::Layout layout,
               int64_t entries, int opset) {
  Codebook codebook;
  codebook.layout = layout;
  const bool vectors = layout == Codebook::Layout::kVector;
  if (vectors) codebook.table = Random({entries, 4});
  if (layout == Codebook::Layout::kScalar) codebook.table = Random({entries});
  if (layout == Codebook::Layout::kPerChannel) {
    codebook.table = Random({kIn, entries});
  }
  for (int64_t i = 0; i < kIn * kOut / (vectors ? 4 : 1); ++i) {
    codebook.codes.push_back(i * 7 % entries);
  }
  OrtCase c{name, Plain(Random({kIn, kOut})), {Random({4, kIn})}, {}};
  c.options.model.opset = opset;
  if (!quantization::StoreAsCodebook(&c.graph, c.graph.FindValue("w"), codebook,
                                     opset)
           .ok()) {
    std::abort();
  }
  return c;
}

void AddCodebooks(std::vector<OrtCase>* cases) {
  using Layout = Codebook::Layout;
  for (int opset : {13, 21}) {
    const std::string suffix = opset == 21 ? "_opset21" : "";
    cases->push_back(Shared("codebook" + suffix, Layout::kScalar, 16, opset));
    cases->push_back(
        Shared("codebook_vectors" + suffix, Layout::kVector, 16, opset));
    cases->push_back(
        Shared("codebook_channels" + suffix, Layout::kPerChannel, 8, opset));
    cases->push_back(
        Shared("codebook_wide" + suffix, Layout::kScalar, 300, opset));
  }
}

}  // namespace

std::vector<OrtCase> StorageForms() {
  std::vector<OrtCase> cases = {
      Quantized("int8", {"int8", -127, 127}),
      Quantized("int8_channel", {"int8", -127, 127, 1, 0, 0, "int8"}),
      Quantized("uint8", {"uint8", 0, 255, -1, 0, 128}),
      Quantized("int4", {"int4", -7, 7}),
      Quantized("int4_channel", {"int4", -7, 7, 1}),
      Quantized("int4_block", {"int4", -7, 7, 0, 16}),
      Quantized("uint4_block", {"uint4", 0, 15, 0, 16, 8}),
      Quantized("int8_block", {"int8", -127, 127, 0, 16}),
      Quantized("int16", {"int16", -32767, 32767, -1, 0, 0, "int16"}),
      Quantized("uint16", {"uint16", 0, 65535, -1, 0, 32768}),
  };
  // Without a DequantizeLinear for them.
  cases.push_back(Quantized("int16_opset17", {"int16", -32767, 32767, 1}));
  cases.back().options.model.opset = 17;
  AddCodebooks(&cases);
  cases.push_back(Coded("codes", -1, false));
  cases.push_back(Coded("codes_rows", 0, false));
  cases.push_back(Coded("codes_columns", 1, false));
  cases.push_back(Coded("codes_integers", 1, true));
  std::vector<float> mostly(kIn * kOut, 0);
  mostly[5] = 2;
  mostly[700] = -1;
  OrtCase sparse{"sparse",
                 Plain(Tensor::Of<float>({kIn, kOut}, mostly)),
                 {Random({4, kIn})},
                 {}};
  sparse.options.model.sparse = true;
  cases.push_back(std::move(sparse));
  for (DType dtype : {DType::kFloat16, DType::kBFloat16}) {
    OrtCase half{std::string(graph::DTypeName(dtype)) + "_weights",
                 Plain(Random({kIn, kOut})),
                 {Random({4, kIn})},
                 {}};
    half.options.model.weights = dtype;
    cases.push_back(std::move(half));
  }
  OrtCase external{
      "external", Plain(Random({kIn, kOut})), {Random({4, kIn})}, {}};
  external.options.external_data = true;
  cases.push_back(std::move(external));
  return cases;
}

}  // namespace condense
