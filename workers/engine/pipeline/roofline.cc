#include "workers/engine/pipeline/roofline.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>

#include "workers/engine/graph/cost.h"

namespace condense::pipeline {
namespace {

// What makes the value, or nullptr.
const graph::Node* ProducerOf(const graph::Graph& graph, graph::ValueId id) {
  if (id == graph::kNoValue) return nullptr;
  const graph::NodeId producer = graph.value(id).producer;
  return producer == graph::kNoNode ? nullptr : &graph.node(producer);
}

// In at most 8 bits, one scale for what is summed up.
bool IsQuantized(const graph::Graph& graph, graph::ValueId id) {
  const graph::Node* source = ProducerOf(graph, id);
  if (source == nullptr || source->Int("block_size", 0) > 0) return false;
  if (source->IsFakeQuantize()) {
    return source->Int("qmax", 127) - source->Int("qmin", -127) <= 255;
  }
  return source->Is("DequantizeLinear") &&
         graph::DTypeBits(graph.value(source->inputs[0]).dtype) <= 8;
}

// Else it is computed in float, whatever is quantized.
bool RunsOnIntegers(const graph::Graph& graph, const graph::Node& node) {
  return IsQuantized(graph, node.input(0)) && IsQuantized(graph, node.input(1));
}

// Of weights that the node reads through a quantizer, as the file stores them.
double QuantizedWeightBytes(const graph::Graph& graph,
                            const graph::Node& node) {
  double bytes = 0;
  for (graph::ValueId id : node.inputs) {
    // Blocks of a convolution get its shape behind their scales.
    const graph::Node* source = ProducerOf(graph, id);
    while (source != nullptr && source->Is("Reshape")) {
      source = ProducerOf(graph, source->inputs[0]);
    }
    if (source == nullptr) continue;
    const graph::Tensor* weight = graph.ConstantOf(source->input(0));
    if (weight == nullptr) continue;
    if (source->Is("DequantizeLinear")) {
      bytes += static_cast<double>(weight->bytes().size());
    } else if (source->IsFakeQuantize()) {
      const auto dtype = graph::DTypeFromName(source->String("dtype", "int8"));
      bytes += static_cast<double>(weight->num_elements()) *
               graph::DTypeBits(dtype) / 8;
    }
  }
  return bytes;
}

// No runtime touches the elements.
bool IsFree(const graph::Node& node) {
  if (node.IsFakeQuantize()) return true;
  static const auto& free = *new std::set<std::string>{
      "QuantizeLinear", "DequantizeLinear", "Reshape", "Flatten",
      "Squeeze",        "Unsqueeze",        "Identity"};
  return node.domain.empty() && free.count(node.op) > 0;
}

}  // namespace

std::vector<double> EstimateSecondsPerNode(const graph::Graph& graph,
                                           const v1::Roofline& roofline) {
  const std::vector<graph::Cost> costs = graph::CostPerNode(graph);
  std::vector<double> seconds(costs.size(), 0);
  for (graph::NodeId id : graph.order()) {
    const graph::Node& node = graph.node(id);
    const graph::Cost& cost = costs[id];
    if (IsFree(node)) continue;
    const bool quantized = RunsOnIntegers(graph, node);
    const double rate = quantized ? roofline.int8_macs_per_second()
                                  : roofline.float_macs_per_second();
    // Activations of integer kernels have one byte, not four.
    const double bytes =
        static_cast<double>(cost.parameter_bytes) +
        QuantizedWeightBytes(graph, node) +
        static_cast<double>(cost.activation_bytes) * (quantized ? 0.25 : 1.0);
    seconds[id] = std::max(static_cast<double>(cost.macs) / rate,
                           bytes / roofline.bytes_per_second());
  }
  return seconds;
}

double EstimateLatencyMs(const graph::Graph& graph,
                         const v1::Roofline& roofline) {
  const std::vector<double> seconds = EstimateSecondsPerNode(graph, roofline);
  return std::accumulate(seconds.begin(), seconds.end(), 0.0) * 1e3;
}

}  // namespace condense::pipeline
