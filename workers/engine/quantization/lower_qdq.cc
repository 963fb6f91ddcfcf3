#include "workers/engine/quantization/lower_qdq.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/quantization/codebook.h"
#include "workers/engine/quantization/stored_levels.h"

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

// [C], or Gemm's [1, C]. What Gemm broadcasts otherwise stays in float.
bool HasScalePerElement(const Tensor& bias, const std::vector<float>& scales) {
  return bias.rank() > 0 && bias.num_elements() == bias.dims().back() &&
         (scales.size() == 1 ||
          bias.num_elements() == static_cast<int64_t>(scales.size()));
}

// What the nodes and names of a codebook take in a file, about.
constexpr int64_t kCodebookBytes = 1024;
// Has uint4.
constexpr int kCodebookOpset = 21;

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
      // A quantizer over a constant is a weight's.
      CONDENSE_RETURN_IF_ERROR(graph().IsConstant(node.inputs[0])
                                   ? LowerWeight(id)
                                   : LowerActivation(id));
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
    TensorRow row = {name, bias.dims(), "int32", layer.bias_scales, {0}, axis};
    lowered_.tensors.push_back(std::move(row));
  }

  absl::Status LowerWeight(NodeId id) {
    const Node node = graph().node(id);
    const Tensor weight = *graph().ConstantOf(node.inputs[0]);
    CONDENSE_ASSIGN_OR_RETURN(const StoredQuantizer quantizer,
                              StoredQuantizerOf(graph(), node));
    const std::string name = graph().value(node.inputs[0]).name;
    const ValueId quantized =
        graph().AddConstant(name + "_quantized", LevelsOf(weight, quantizer));
    std::vector<ValueId> inputs = {quantized, node.inputs[1]};
    // As many as there are scales, and zero is what stands for none.
    const std::vector<int64_t>& zeros = quantizer.zero_points;
    if (quantizer.block_size == 0 ||
        std::any_of(zeros.begin(), zeros.end(),
                    [](int64_t z) { return z != 0; })) {
      inputs.push_back(graph().AddConstant(name + "_zero_point",
                                           ZeroPointTensor(quantizer)));
    }
    const NodeId dequantize = graph().InsertBefore(
        id, "DequantizeLinear", name + "_DequantizeLinear", inputs,
        name + "_dequantized", AxisAttributes(quantizer));
    NodeId last = dequantize;
    if (quantizer.rows) {
      const ValueId dims = graph().AddConstant(
          name + "_dims", Tensor::Of<int64_t>({weight.rank()}, weight.dims()));
      last = graph().InsertAfter(dequantize, "Reshape", name + "_Reshape",
                                 {graph().node(dequantize).outputs[0], dims},
                                 name + "_reshaped");
    }
    graph().ReplaceUses(node.outputs[0], graph().node(last).outputs[0]);
    graph().RemoveNode(id);
    AddRow(name, quantizer.StoredDims(weight.dims()), quantizer);
    return node.Has("code_dtype") ? StoreCodes(quantized, quantizer.axis)
                                  : absl::OkStatus();
  }

  // Levels as codes into a table, where that is smaller.
  absl::Status StoreCodes(ValueId levels, int64_t axis) {
    const Tensor& tensor = *graph().ConstantOf(levels);
    const auto codebook = CodebookOfLevels(tensor, axis);
    if (!codebook || tensor.num_elements() / 2 <
                         codebook->table.num_elements() + kCodebookBytes) {
      return absl::OkStatus();
    }
    return StoreAsCodebook(&graph(), levels, *codebook, kCodebookOpset);
  }

  // The quantizer's input; clipped to its levels where they are fewer than the
  // stored type has, which QuantizeLinear saturates to.
  ValueId Narrowed(NodeId id, const StoredQuantizer& quantizer) {
    const Node node = graph().node(id);
    const Levels levels = quantizer.levels;
    if (quantizer.scales.size() != 1 ||
        levels.qmax - levels.qmin + 1 ==
            int64_t{1} << graph::DTypeBits(quantizer.dtype)) {
      return node.inputs[0];
    }
    const float scale = quantizer.scales[0];
    const int64_t zero = quantizer.zero_points[0];
    const std::string name = graph().value(node.inputs[0]).name;
    const auto bound = [&](const char* end, int64_t level) {
      return graph().AddConstant(
          name + end,
          Tensor::Scalar<float>(scale * static_cast<float>(level - zero)));
    };
    const ValueId low = bound("_low", levels.qmin);
    const ValueId high = bound("_high", levels.qmax);
    const NodeId clip =
        graph().InsertBefore(id, "Clip", name + "_Clip",
                             {node.inputs[0], low, high}, name + "_clipped");
    return graph().node(clip).outputs[0];
  }

  absl::Status LowerActivation(NodeId id) {
    const Node node = graph().node(id);
    const ValueId x = node.inputs[0], y = node.outputs[0];
    CONDENSE_ASSIGN_OR_RETURN(const StoredQuantizer quantizer,
                              StoredQuantizerOf(graph(), node));
    const std::string name = graph().value(x).name;
    const ValueId zero =
        graph().AddConstant(name + "_zero_point", ZeroPointTensor(quantizer));
    const auto attrs = AxisAttributes(quantizer);
    const NodeId quantize =
        graph().InsertBefore(id, "QuantizeLinear", name + "_QuantizeLinear",
                             {Narrowed(id, quantizer), node.inputs[1], zero},
                             name + "_quantized_levels", attrs);
    const NodeId dequantize = graph().InsertBefore(
        id, "DequantizeLinear", name + "_DequantizeLinear",
        {graph().node(quantize).outputs[0], node.inputs[1], zero},
        name + "_dequantized_levels", attrs);
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
    AddRow(name, std::move(shape), quantizer);
    return absl::OkStatus();
  }

  static std::map<std::string, graph::Attribute> AxisAttributes(
      const StoredQuantizer& quantizer) {
    std::map<std::string, graph::Attribute> attrs;
    if (quantizer.axis >= 0) attrs["axis"] = quantizer.axis;
    if (quantizer.block_size > 0) attrs["block_size"] = quantizer.block_size;
    return attrs;
  }

  void AddRow(const std::string& name, std::vector<int64_t> shape,
              const StoredQuantizer& quantizer) {
    TensorRow row;
    row.name = name;
    row.shape = std::move(shape);
    row.dtype = std::string(graph::DTypeName(quantizer.dtype));
    row.scale = quantizer.scales;
    row.zero_point = quantizer.zero_points;
    const auto first = row.zero_point.front();
    if (std::all_of(row.zero_point.begin(), row.zero_point.end(),
                    [&](int64_t z) { return z == first; })) {
      row.zero_point.resize(1);
    }
    row.axis = quantizer.axis;
    row.block_size = quantizer.block_size;
    lowered_.tensors.push_back(std::move(row));
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
    // A sum over blocks has no scale of its own, and no runtime multiplies 16
    // bits in integers.
    const Node& weight = graph.node(layer.weight_quantizer);
    if (weight.Int("block_size", 0) > 0 || graph.node(x).Has("axis") ||
        weight.Int("qmax", 127) - weight.Int("qmin", -127) > 255) {
      continue;
    }
    const float s_x = graph.ConstantOf(graph.node(x).inputs[1])->ToFloats()[0];
    for (float s_w : graph.ConstantOf(weight.inputs[1])->ToFloats()) {
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
