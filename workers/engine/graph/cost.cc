#include "workers/engine/graph/cost.h"

#include <algorithm>
#include <map>
#include <string>

#include "workers/engine/graph/saturating.h"
#include "workers/engine/graph/scalar_value.h"
#include "workers/engine/graph/verify_node.h"

namespace condense::graph {
namespace {

int64_t SizeOf(const Dim& dim) { return dim.known() ? dim.value : 1; }

int64_t Elements(const std::optional<Shape>& shape) {
  if (!shape.has_value()) return 0;
  int64_t count = 1;
  for (const Dim& dim : *shape) {
    count = SaturatingMultiply(count, SizeOf(dim));
  }
  return count;
}

std::optional<Shape> ShapeAt(const Graph& graph, ValueId id) {
  return id == kNoValue ? std::nullopt : graph.value(id).shape;
}

// Every output element reads one filter.
int64_t ConvMacs(int64_t out, const std::optional<Shape>& weight) {
  if (!weight || weight->empty()) return 0;
  const int64_t filters = SizeOf((*weight)[0]);
  return filters > 0 ? out * (Elements(weight) / filters) : 0;
}

// Every input element is spread over the filters of its channel.
int64_t ConvTransposeMacs(const std::optional<Shape>& x,
                          const std::optional<Shape>& weight) {
  return ConvMacs(Elements(x), weight);
}

int64_t MatMulMacs(int64_t out, const std::optional<Shape>& x,
                   bool transposed) {
  if (!x || x->empty()) return 0;
  return out * SizeOf(transposed ? (*x)[0] : x->back());
}

// Each step multiplies by the matrices of all gates, of the input and of the
// state: W [directions, gates * hidden, inputs], R [directions, gates * hidden,
// hidden].
int64_t RecurrentMacs(const Graph& graph, const Node& node) {
  const auto x = ShapeAt(graph, node.input(0));
  if (!x || x->size() != 3) return 0;
  return SizeOf((*x)[0]) * SizeOf((*x)[1]) *
         (Elements(ShapeAt(graph, node.input(1))) +
          Elements(ShapeAt(graph, node.input(2))));
}

// One for each combination of all letters.
int64_t EinsumMacs(const Graph& graph, const Node& node) {
  if (node.inputs.size() != 2) return 0;
  std::string equation = node.String("equation", "");
  equation.erase(std::remove(equation.begin(), equation.end(), ' '),
                 equation.end());
  if (equation.find('.') != std::string::npos) return 0;
  std::map<char, int64_t> sizes;
  size_t term = 0, axis = 0;
  for (char letter : equation.substr(0, equation.find("->"))) {
    if (letter == ',') {
      ++term;
      axis = 0;
      continue;
    }
    const auto shape = ShapeAt(graph, node.input(term));
    if (!shape || axis >= shape->size()) return 0;
    sizes[letter] = std::max(sizes[letter], SizeOf((*shape)[axis++]));
  }
  int64_t macs = 1;
  for (const auto& [letter, size] : sizes) {
    macs = SaturatingMultiply(macs, size);
  }
  return macs;
}

int64_t Macs(const Graph& graph, const Node& node) {
  if (!node.domain.empty()) return 0;
  const int64_t out = Elements(ShapeAt(graph, node.outputs[0]));
  const auto x = ShapeAt(graph, node.input(0));
  const auto at = [&](size_t i) { return ShapeAt(graph, node.input(i)); };
  if (node.op == "Conv" || node.op == "ConvInteger") {
    return ConvMacs(out, at(1));
  }
  if (node.op == "QLinearConv") return ConvMacs(out, at(3));
  if (node.op == "ConvTranspose") return ConvTransposeMacs(x, at(1));
  if (node.op == "Gemm") return MatMulMacs(out, x, node.Int("transA", 0) != 0);
  if (node.op == "MatMul" || node.op == "MatMulInteger" ||
      node.op == "QLinearMatMul") {
    return MatMulMacs(out, x, false);
  }
  if (node.op == "LSTM" || node.op == "GRU" || node.op == "RNN") {
    return RecurrentMacs(graph, node);
  }
  return node.op == "Einsum" ? EinsumMacs(graph, node) : 0;
}

// The input that holds an integer operator's weight.
bool IsIntegerWeight(const Node& node, size_t input) {
  if (node.Is("ConvInteger") || node.Is("MatMulInteger")) return input == 1;
  if (node.Is("QLinearConv")) return input == 3 || input == 8;
  return node.Is("QLinearMatMul") && input == 3;
}

bool CountsAsParameter(const Graph& graph, const Node& node, size_t input) {
  const Tensor* tensor = graph.ConstantOf(node.inputs[input]);
  if (tensor == nullptr) return false;
  // Running statistics.
  if (node.Is("BatchNormalization") && input >= 3) return false;
  // Bounds, scales and zero points are not weights.
  if (node.Is("Clip") || node.Is("Pad") || node.Is("Resize")) return false;
  if (IsIntegerWeight(node, input)) return true;
  if (node.Is("QLinearConv") || node.Is("QLinearMatMul")) return false;
  const bool quantizer = node.Is("QuantizeLinear") || node.IsFakeQuantize() ||
                         node.Is("DequantizeLinear");
  if (quantizer && input > 0) return false;
  if (node.Is("DequantizeLinear")) return true;
  return IsFloating(tensor->dtype());
}

// How often a body runs, as far as it is known.
int64_t Turns(const Graph& graph, const Node& node) {
  if (node.Is("Loop")) {
    const auto trips = ScalarValues(&graph).At(node.input(0));
    return trips ? std::max<int64_t>(0, *trips) : 1;
  }
  if (!node.Is("Scan")) return 1;
  const size_t behind =
      static_cast<size_t>(std::max<int64_t>(0, node.Int("captures", 0))) +
      static_cast<size_t>(std::max<int64_t>(0, node.Int("num_scan_inputs", 1)));
  if (behind > node.inputs.size()) return 1;
  const auto x = ShapeAt(graph, node.inputs[node.inputs.size() - behind]);
  const std::vector<int64_t> axes = node.Ints("scan_input_axes", {0});
  if (!x || axes.empty()) return 1;
  const auto rank = static_cast<int64_t>(x->size());
  const int64_t axis = axes[0] < 0 ? axes[0] + rank : axes[0];
  return axis >= 0 && axis < rank ? SizeOf((*x)[axis]) : 1;
}

Cost BodiesCost(const Graph& graph, const Node& node) {
  Cost total;
  int64_t macs = 0;
  for (const auto& [key, body] : BodiesOf(node)) {
    const Cost cost = CostOf(*body);
    total.parameters += cost.parameters;
    total.parameter_bytes += cost.parameter_bytes;
    macs = std::max(macs, cost.macs);
  }
  total.macs = macs * Turns(graph, node);
  return total;
}

}  // namespace

Cost& Cost::operator+=(const Cost& other) {
  macs += other.macs;
  parameters += other.parameters;
  parameter_bytes += other.parameter_bytes;
  activation_bytes += other.activation_bytes;
  return *this;
}

std::vector<Cost> CostPerNode(const Graph& graph) {
  std::vector<Cost> costs(graph.node_limit());
  std::vector<bool> counted(graph.value_limit(), false);
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    Cost& cost = costs[id];
    cost = BodiesCost(graph, node);
    cost.macs += Macs(graph, node);
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
  for (const Cost& cost : CostPerNode(graph)) total += cost;
  return total;
}

}  // namespace condense::graph
