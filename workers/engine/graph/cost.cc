#include "workers/engine/graph/cost.h"

namespace condense::graph {
namespace {

int64_t Elements(const std::optional<Shape>& shape) {
  if (!shape.has_value()) return 0;
  int64_t count = 1;
  for (const Dim& dim : *shape) count *= dim.known() ? dim.value : 1;
  return count;
}

// The tensor behind a value, looking through quantizers.
std::optional<Shape> ShapeAt(const Graph& graph, ValueId id) {
  return id == kNoValue ? std::nullopt : graph.value(id).shape;
}

int64_t Macs(const Graph& graph, const Node& node) {
  if (!node.domain.empty()) return 0;
  const int64_t out = Elements(ShapeAt(graph, node.outputs[0]));
  const auto weight = ShapeAt(graph, node.input(1));
  const auto x = ShapeAt(graph, node.input(0));
  if (!weight || weight->empty()) return 0;
  if (node.op == "Conv") {
    return (*weight)[0].known() && (*weight)[0].value > 0
               ? out * (Elements(weight) / (*weight)[0].value)
               : 0;
  }
  if (node.op == "ConvTranspose") {
    const int64_t in = (*weight)[0].value;
    return in > 0 ? Elements(x) * (Elements(weight) / in) : 0;
  }
  if (node.op == "Gemm" || node.op == "MatMul") {
    if (!x || x->empty()) return 0;
    const Dim& inner =
        node.op == "Gemm" && node.Int("transA", 0) ? (*x)[0] : x->back();
    return out * (inner.known() ? inner.value : 1);
  }
  return 0;
}

bool IsStatistic(const Node& node, size_t input) {
  return node.Is("BatchNormalization") && input >= 3;
}

bool CountsAsParameter(const Graph& graph, const Node& node, size_t input) {
  const Tensor* tensor = graph.ConstantOf(node.inputs[input]);
  if (tensor == nullptr || IsStatistic(node, input)) return false;
  // Bounds, scales and zero points are not weights.
  if (node.Is("Clip") || node.Is("Pad") || node.Is("Resize")) return false;
  const bool quantizer = node.Is("QuantizeLinear") || node.IsFakeQuantize() ||
                         node.Is("DequantizeLinear");
  if (quantizer && input > 0) return false;
  if (node.Is("DequantizeLinear")) return true;
  return IsFloating(tensor->dtype());
}

}  // namespace

std::vector<Cost> CostPerNode(const Graph& graph) {
  std::vector<Cost> costs(graph.node_limit());
  std::vector<bool> counted(graph.value_limit(), false);
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    Cost& cost = costs[id];
    cost.macs = Macs(graph, node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (input == kNoValue || counted[input] ||
          !CountsAsParameter(graph, node, i)) {
        continue;
      }
      counted[input] = true;
      const Tensor& tensor = *graph.ConstantOf(input);
      cost.parameters += tensor.num_elements();
      cost.parameter_bytes += static_cast<int64_t>(tensor.bytes().size());
    }
    for (ValueId output : node.outputs) {
      if (output == kNoValue) continue;
      cost.activation_bytes += Elements(graph.value(output).shape) *
                               DTypeBits(graph.value(output).dtype) / 8;
    }
  }
  return costs;
}

Cost CostOf(const Graph& graph) {
  Cost total;
  for (const Cost& cost : CostPerNode(graph)) {
    total.macs += cost.macs;
    total.parameters += cost.parameters;
    total.parameter_bytes += cost.parameter_bytes;
    total.activation_bytes += cost.activation_bytes;
  }
  return total;
}

}  // namespace condense::graph
