#include "workers/engine/quantization/lower_qdq.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::Tensor;
using graph::ValueId;

NodeId QuantizerOf(const Graph& graph, ValueId id, const char* role) {
  if (id == kNoValue) return kNoNode;
  const NodeId producer = graph.value(id).producer;
  if (producer == kNoNode) return kNoNode;
  const Node& node = graph.node(producer);
  return node.IsFakeQuantize() && node.String("role", "") == role ? producer
                                                                  : kNoNode;
}

int64_t InnerSize(const Tensor& tensor, int64_t axis) {
  int64_t inner = 1;
  for (int64_t i = axis + 1; i < tensor.rank(); ++i) inner *= tensor.dims()[i];
  return inner;
}

// [C], or Gemm's [1, C]. What Gemm broadcasts otherwise stays in float.
bool HasScalePerElement(const Tensor& bias, const std::vector<float>& scales) {
  return bias.rank() > 0 && bias.num_elements() == bias.dims().back() &&
         (scales.size() == 1 ||
          bias.num_elements() == static_cast<int64_t>(scales.size()));
}

class Lowerer {
 public:
  explicit Lowerer(const Graph& graph) { lowered_.graph = graph; }

  absl::StatusOr<LoweredGraph> Run() {
    for (const QuantizedLayer& layer : QuantizedLayers(graph())) {
      LowerBias(layer);
    }
    const std::vector<NodeId> order = graph().order();
    for (NodeId id : order) {
      const Node& node = graph().node(id);
      if (!node.IsFakeQuantize()) continue;
      if (node.String("role", "") == "weight") {
        CONDENSE_RETURN_IF_ERROR(LowerWeight(id));
      } else {
        LowerActivation(id);
      }
    }
    CONDENSE_RETURN_IF_ERROR(graph::DeadCode().Run(graph()).status());
    CONDENSE_RETURN_IF_ERROR(graph::InferShapes(graph()));
    return std::move(lowered_);
  }

 private:
  Graph& graph() { return lowered_.graph; }

  void LowerBias(const QuantizedLayer& layer) {
    if (layer.bias == kNoValue) return;
    const Tensor bias = *graph().ConstantOf(layer.bias);
    const std::vector<float> values = bias.ToFloats();
    std::vector<int32_t> integers;
    for (size_t i = 0; i < values.size(); ++i) {
      const double scale =
          layer.bias_scales[layer.bias_scales.size() == 1 ? 0 : i];
      const double level = std::nearbyint(values[i] / scale);
      integers.push_back(
          static_cast<int32_t>(std::clamp(level, -2147483648.0, 2147483647.0)));
    }
    const std::string name = graph().value(layer.bias).name;
    const bool per_tensor = layer.bias_scales.size() == 1;
    const std::vector<int64_t> dims =
        per_tensor ? std::vector<int64_t>{}
                   : std::vector<int64_t>{
                         static_cast<int64_t>(layer.bias_scales.size())};
    const ValueId quantized = graph().AddConstant(
        name + "_quantized", Tensor::Of<int32_t>(bias.dims(), integers));
    const ValueId scale = graph().AddConstant(
        name + "_scale", Tensor::Of<float>(dims, layer.bias_scales));
    const int64_t axis = per_tensor ? -1 : bias.rank() - 1;
    std::map<std::string, graph::Attribute> attrs;
    if (!per_tensor) attrs["axis"] = axis;
    const NodeId dequantize = graph().InsertBefore(
        layer.node, "DequantizeLinear", name + "_DequantizeLinear",
        {quantized, scale}, name + "_dequantized", attrs);
    graph().mutable_node(layer.node).inputs[2] =
        graph().node(dequantize).outputs[0];
    lowered_.tensors.push_back({name, bias.dims(), "int32", layer.bias_scales,
                                std::vector<int64_t>{0}, axis});
  }

  absl::Status LowerWeight(NodeId id) {
    const Node node = graph().node(id);
    const Tensor weight = *graph().ConstantOf(node.inputs[0]);
    const std::vector<float> scales =
        graph().ConstantOf(node.inputs[1])->ToFloats();
    const int64_t axis = node.Int("axis", -1);
    const Levels levels{node.Int("qmin", -127), node.Int("qmax", 127)};
    const std::vector<float> values = weight.ToFloats();
    const int64_t inner = axis < 0 ? 1 : InnerSize(weight, axis);
    std::vector<int8_t> integers;
    integers.reserve(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t channel =
          axis < 0 ? 0 : static_cast<int64_t>(i) / inner % weight.dims()[axis];
      integers.push_back(static_cast<int8_t>(
          QuantizeValue(values[i], {scales[channel], 0}, levels)));
    }
    const std::string name = graph().value(node.inputs[0]).name;
    const std::vector<int64_t>& dims =
        graph().ConstantOf(node.inputs[1])->dims();
    const ValueId quantized = graph().AddConstant(
        name + "_quantized", Tensor::Of<int8_t>(weight.dims(), integers));
    const ValueId zero = graph().AddConstant(
        name + "_zero_point",
        Tensor::Of<int8_t>(dims, std::vector<int8_t>(scales.size(), 0)));
    std::map<std::string, graph::Attribute> attrs;
    if (axis >= 0) attrs["axis"] = axis;
    const NodeId dequantize = graph().InsertBefore(
        id, "DequantizeLinear", name + "_DequantizeLinear",
        {quantized, node.inputs[1], zero}, name + "_dequantized", attrs);
    graph().ReplaceUses(node.outputs[0], graph().node(dequantize).outputs[0]);
    graph().RemoveNode(id);
    lowered_.tensors.push_back(
        {name, weight.dims(), "int8", scales, std::vector<int64_t>{0}, axis});
    return absl::OkStatus();
  }

  void LowerActivation(NodeId id) {
    const Node node = graph().node(id);
    const ValueId x = node.inputs[0], y = node.outputs[0];
    const float scale = graph().ConstantOf(node.inputs[1])->ToFloats()[0];
    const int64_t zero = graph().ConstantOf(node.inputs[2])->ToInts()[0];
    const bool is_unsigned = node.String("dtype", "uint8") == "uint8";
    const std::string name = graph().value(x).name;
    const ValueId zero_id = graph().AddConstant(
        name + "_zero_point",
        is_unsigned ? Tensor::Scalar<uint8_t>(static_cast<uint8_t>(zero))
                    : Tensor::Scalar<int8_t>(static_cast<int8_t>(zero)));
    const NodeId quantize = graph().InsertBefore(
        id, "QuantizeLinear", name + "_QuantizeLinear",
        {x, node.inputs[1], zero_id}, name + "_quantized_levels");
    const NodeId dequantize = graph().InsertBefore(
        id, "DequantizeLinear", name + "_DequantizeLinear",
        {graph().node(quantize).outputs[0], node.inputs[1], zero_id},
        name + "_dequantized_levels");
    const ValueId out = graph().node(dequantize).outputs[0];
    const bool output = graph().IsOutput(y);
    const std::string output_name = graph().value(y).name;
    graph().ReplaceUses(y, out);
    graph().RemoveNode(id);
    if (output) graph().RenameValue(out, output_name);
    std::vector<int64_t> shape;
    if (graph().value(x).shape) {
      for (const graph::Dim& dim : *graph().value(x).shape) {
        shape.push_back(dim.value);
      }
    }
    lowered_.tensors.push_back(
        {name, shape, is_unsigned ? "uint8" : "int8", {scale}, {zero}, -1});
  }

  LoweredGraph lowered_;
};

}  // namespace

std::vector<QuantizedLayer> QuantizedLayers(const Graph& graph) {
  std::vector<QuantizedLayer> layers;
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!node.Is("Conv") && !node.Is("Gemm") && !node.Is("MatMul")) continue;
    QuantizedLayer layer;
    layer.node = id;
    layer.weight_quantizer = QuantizerOf(graph, node.input(1), "weight");
    const NodeId x = QuantizerOf(graph, node.input(0), "activation");
    if (layer.weight_quantizer == kNoNode || x == kNoNode) continue;
    const float s_x = graph.ConstantOf(graph.node(x).inputs[1])->ToFloats()[0];
    for (float s_w :
         graph.ConstantOf(graph.node(layer.weight_quantizer).inputs[1])
             ->ToFloats()) {
      layer.bias_scales.push_back(s_x * s_w);
    }
    if (!node.Is("MatMul") && graph.IsConstant(node.input(2)) &&
        HasScalePerElement(*graph.ConstantOf(node.input(2)),
                           layer.bias_scales)) {
      layer.bias = node.input(2);
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

absl::StatusOr<LoweredGraph> LowerToQdq(const Graph& graph) {
  return Lowerer(graph).Run();
}

}  // namespace condense::quantization
