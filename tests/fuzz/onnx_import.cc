#include "tests/fuzz/targets.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/import/onnx.h"

namespace condense::fuzz {
namespace {

using graph::DType;
using graph::Graph;
using graph::Shape;
using graph::Tensor;
using graph::ValueId;
using Attributes = std::map<std::string, graph::Attribute>;

ValueId Op(Graph* graph, const std::string& op, std::vector<ValueId> inputs,
           Attributes attrs = {}) {
  const auto id = graph->AddNode(op, "", std::move(inputs), {op}, attrs);
  return graph->node(id).outputs[0];
}

ValueId Ints(Graph* graph, const std::vector<int64_t>& values) {
  return graph->AddConstant(
      "i", Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values));
}

std::string ConvNet() {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{1, 3, 8, 8});
  const ValueId w = graph.AddConstant(
      "w", Tensor::Of<float>({4, 3, 3, 3}, std::vector<float>(108, 0.1f)));
  ValueId y = Op(&graph, "Conv", {x, w},
                 {{"pads", std::vector<int64_t>{1, 1, 1, 1}},
                  {"strides", std::vector<int64_t>{2, 2}}});
  y = Op(&graph, "MaxPool", {Op(&graph, "Relu", {y})},
         {{"kernel_shape", std::vector<int64_t>{2, 2}}});
  y = Op(&graph, "Reshape", {y, Ints(&graph, {0, -1})});
  graph.AddOutput(Op(&graph, "Softmax", {y}));
  return *onnx_export::ExportOnnx(graph);
}

// Shape arithmetic, indexing and what makes tensors grow.
std::string Shapes() {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32,
                                   Shape{graph::Dim::Symbol("N"), 4, 6});
  const ValueId sizes =
      Op(&graph, "Concat",
         {Op(&graph, "Slice",
             {Op(&graph, "Shape", {x}), Ints(&graph, {0}), Ints(&graph, {1})}),
          Ints(&graph, {2, 12})},
         {{"axis", int64_t{0}}});
  ValueId y = Op(&graph, "Reshape", {x, sizes});
  y = Op(&graph, "Expand", {y, Ints(&graph, {1, 2, 12})});
  y = Op(&graph, "Tile", {y, Ints(&graph, {1, 2, 1})});
  y = Op(&graph, "Pad", {y, Ints(&graph, {0, 1, 0, 0, 1, 0})});
  y = Op(&graph, "Gather", {y, Ints(&graph, {0, 2})}, {{"axis", int64_t{1}}});
  y = Op(&graph, "Transpose", {y}, {{"perm", std::vector<int64_t>{0, 2, 1}}});
  y = Op(&graph, "Gelu",
         {Op(&graph, "LayerNormalization",
             {y, graph.AddConstant(
                     "s", Tensor::Of<float>({2}, std::vector<float>{1, 1}))})});
  graph.AddOutput(y);
  return *onnx_export::ExportOnnx(graph, {.opset = 21});
}

// Normalisation, quantizers and a recurrent layer: many inputs and attributes.
std::string Layers() {
  Graph graph;
  auto floats = [&](std::vector<int64_t> dims, float value) {
    const int64_t count = Tensor::ByteSize(DType::kFloat32, dims) / 4;
    return graph.AddConstant(
        "c", Tensor::Of<float>(dims, std::vector<float>(count, value)));
  };
  const ValueId x = graph.AddInput("x", DType::kFloat32,
                                   Shape{graph::Dim::Symbol("N"), 4, 5, 5});
  ValueId y =
      Op(&graph, "BatchNormalization",
         {x, floats({4}, 1), floats({4}, 0), floats({4}, 0), floats({4}, 1)});
  const ValueId scale = floats({}, 0.1f);
  const ValueId zero = graph.AddConstant("z", Tensor::Scalar<int8_t>(0));
  y = Op(&graph, "DequantizeLinear",
         {Op(&graph, "QuantizeLinear", {y, scale, zero}), scale, zero});
  y = Op(&graph, "ConvTranspose", {y, floats({4, 2, 3, 3}, 0.2f)});
  y = Op(&graph, "ReduceMean", {y},
         {{"axes", std::vector<int64_t>{3}}, {"keepdims", int64_t{0}}});
  y = Op(&graph, "Transpose", {y}, {{"perm", std::vector<int64_t>{1, 0, 2}}});
  y = Op(&graph, "LSTM",
         {y, floats({1, 12, 7}, 0.1f), floats({1, 12, 3}, 0.1f)},
         {{"hidden_size", int64_t{3}}});
  graph.AddOutput(Op(&graph, "Squeeze", {y, Ints(&graph, {1})}));
  return *onnx_export::ExportOnnx(graph);
}

}  // namespace

void OnnxImport(absl::string_view bytes) {
  const auto graph = onnx_import::ImportOnnx(bytes);
  if (!graph.ok()) {
    CheckTyped(graph.status());
    return;
  }
  // What was read can be written, or there is a reason why not.
  const auto again = onnx_export::ExportOnnx(*graph, {.opset = 21});
  CheckTyped(again.status());
}

std::vector<std::string> OnnxSeeds() { return {ConvNet(), Shapes(), Layers()}; }

}  // namespace condense::fuzz
