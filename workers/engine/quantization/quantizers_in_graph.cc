#include "workers/engine/quantization/quantizers_in_graph.h"

#include <algorithm>

namespace condense::quantization {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

bool HasQuantizers(const Graph& graph) {
  const auto& order = graph.order();
  return std::any_of(order.begin(), order.end(), [&](NodeId id) {
    return graph.node(id).IsFakeQuantize();
  });
}

Graph WithoutQuantizers(const Graph& graph) {
  return WithoutQuantizers(graph, [](NodeId, const Node&) { return true; });
}

Graph WithoutQuantizers(const Graph& graph,
                        const std::function<bool(NodeId, const Node&)>& which) {
  Graph plain = graph;
  for (NodeId id : graph.order()) {
    const Node& node = plain.node(id);
    if (!node.IsFakeQuantize() || !which(id, node)) continue;
    const ValueId x = plain.node(id).inputs[0], y = plain.node(id).outputs[0];
    const bool output = plain.IsOutput(y);
    const std::string name = plain.value(y).name;
    plain.ReplaceUses(y, x);
    plain.RemoveNode(id);
    if (output) plain.RenameValue(x, name);
  }
  return plain;
}

}  // namespace condense::quantization
