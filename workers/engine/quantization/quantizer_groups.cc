#include "workers/engine/quantization/quantizer_groups.h"

#include <algorithm>
#include <cstdint>
#include <map>

#include "workers/engine/quantization/bit_sensitivity.h"
#include "workers/engine/quantization/quantizers_in_graph.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::Node;
using graph::NodeId;

constexpr char kGroup[] = "group";
constexpr char kTrained[] = "trained";

}  // namespace

void AssignGroups(const std::vector<std::string>& order, int count,
                  Graph* graph) {
  for (NodeId id : graph->order()) {
    Node& node = graph->mutable_node(id);
    if (node.IsFakeQuantize()) node.attrs[kGroup] = int64_t{count - 1};
  }
  std::map<std::string, int64_t> groups;
  for (size_t i = 0; i < order.size(); ++i) {
    groups[order[i]] = static_cast<int64_t>(i * count / order.size());
  }
  for (const WeightLayer& layer : WeightLayers(*graph)) {
    const auto it = groups.find(layer.name);
    if (it == groups.end()) continue;
    graph->mutable_node(layer.quantizer).attrs[kGroup] = it->second;
    const NodeId input =
        graph->value(graph->node(layer.node).inputs[0]).producer;
    if (input == kNoNode || !graph->node(input).IsFakeQuantize()) continue;
    Node& quantizer = graph->mutable_node(input);
    quantizer.attrs[kGroup] = std::min(quantizer.Int(kGroup, 0), it->second);
  }
}

Graph UpToGroup(const Graph& graph, int last) {
  return WithoutQuantizers(graph, [last](NodeId, const Node& node) {
    return node.Int(kGroup, 0) > last;
  });
}

void MarkTrained(int last, Graph* graph) {
  for (const WeightLayer& layer : WeightLayers(*graph)) {
    Node& quantizer = graph->mutable_node(layer.quantizer);
    if (quantizer.Int(kGroup, 0) <= last)
      quantizer.attrs[kTrained] = int64_t{1};
  }
}

void RemoveGroups(Graph* graph) {
  for (NodeId id : graph->order()) {
    Node& node = graph->mutable_node(id);
    // Convolutions have an attribute of this name.
    if (!node.IsFakeQuantize()) continue;
    node.attrs.erase(kGroup);
    node.attrs.erase(kTrained);
  }
}

}  // namespace condense::quantization
