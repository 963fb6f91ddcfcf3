#include "workers/engine/pipeline/roofline.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <string>

#include "workers/engine/graph/cost.h"

namespace condense::pipeline {
namespace {

// In at most 8 bits, one scale for what is summed up.
bool IsQuantized(const graph::Graph& graph, graph::ValueId id) {
  if (id == graph::kNoValue) return false;
  const graph::NodeId producer = graph.value(id).producer;
  if (producer == graph::kNoNode) return false;
  const graph::Node& source = graph.node(producer);
  if (source.Int("block_size", 0) > 0) return false;
  if (source.IsFakeQuantize()) {
    return source.Int("qmax", 127) - source.Int("qmin", -127) <= 255;
  }
  return source.Is("DequantizeLinear") &&
         graph::DTypeBits(graph.value(source.inputs[0]).dtype) <= 8;
}

// Else it is computed in float, whatever is quantized.
bool RunsOnIntegers(const graph::Graph& graph, const graph::Node& node) {
  return IsQuantized(graph, node.input(0)) && IsQuantized(graph, node.input(1));
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
