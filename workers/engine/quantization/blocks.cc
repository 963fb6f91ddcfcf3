#include "workers/engine/quantization/blocks.h"

#include <set>

#include "workers/engine/quantization/lower_qdq.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::kNoValue;
using graph::Node;
using graph::NodeId;
using graph::ValueId;

// A value that is alone alive after this many nodes.
struct Cut {
  size_t after = 0;
  ValueId value = kNoValue;
};

std::vector<Cut> FindCuts(const Graph& graph) {
  const std::vector<NodeId>& order = graph.order();
  // The last reader of each value, by position.
  std::vector<size_t> last(graph.value_limit(), 0);
  for (size_t i = 0; i < order.size(); ++i) {
    for (ValueId id : graph.node(order[i]).inputs) {
      if (id != kNoValue) last[id] = i + 1;
    }
  }
  for (ValueId id : graph.outputs()) last[id] = order.size() + 1;
  std::set<ValueId> alive(graph.inputs().begin(), graph.inputs().end());
  std::vector<Cut> cuts;
  for (size_t i = 0; i <= order.size(); ++i) {
    if (alive.size() == 1) cuts.push_back({i, *alive.begin()});
    if (i == order.size()) break;
    const Node& node = graph.node(order[i]);
    for (ValueId id : node.outputs) {
      if (id != kNoValue && last[id] > i + 1) alive.insert(id);
    }
    for (ValueId id : node.inputs) {
      if (id != kNoValue && last[id] == i + 1) alive.erase(id);
    }
  }
  return cuts;
}

}  // namespace

std::vector<Block> FindBlocks(const Graph& graph) {
  if (graph.inputs().size() != 1) return {};
  std::set<NodeId> quantized;
  for (const QuantizedLayer& layer : QuantizedLayers(graph)) {
    quantized.insert(layer.node);
  }
  const std::vector<Cut> cuts = FindCuts(graph);
  std::vector<Block> blocks;
  for (size_t i = 1; i < cuts.size(); ++i) {
    std::vector<NodeId> layers;
    for (size_t at = cuts[i - 1].after; at < cuts[i].after; ++at) {
      if (quantized.count(graph.order()[at]) > 0) {
        layers.push_back(graph.order()[at]);
      }
    }
    if (!layers.empty() || blocks.empty()) {
      if (!blocks.empty() && blocks.back().layers.empty()) {
        blocks.back().layers = layers;
        blocks.back().output = cuts[i].value;
        continue;
      }
      blocks.push_back({cuts[i - 1].value, cuts[i].value, layers});
    } else {
      blocks.back().output = cuts[i].value;
    }
  }
  if (!blocks.empty() && blocks.back().layers.empty()) blocks.pop_back();
  return blocks;
}

Graph SubGraph(const Graph& graph, const std::vector<ValueId>& inputs,
               ValueId output) {
  Graph part = graph;
  std::set<ValueId> wanted = {output};
  const std::set<ValueId> given(inputs.begin(), inputs.end());
  const std::vector<NodeId> order = part.order();
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& node = part.node(*it);
    bool needed = false;
    for (ValueId id : node.outputs) {
      needed |= wanted.count(id) > 0 && given.count(id) == 0;
    }
    if (!needed) {
      part.RemoveNode(*it);
      continue;
    }
    for (ValueId id : node.inputs) wanted.insert(id);
  }
  part.SetInputs(inputs);
  for (size_t i = 0; i < part.outputs().size(); ++i) {
    part.ReplaceOutput(i, output);
  }
  return part;
}

}  // namespace condense::quantization
