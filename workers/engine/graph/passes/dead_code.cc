#include "workers/engine/graph/passes/dead_code.h"

namespace condense::graph {

absl::StatusOr<bool> DeadCode::Run(Graph& graph) const {
  std::vector<bool> needed(graph.value_limit(), false);
  for (ValueId id : graph.outputs()) needed[id] = true;
  const std::vector<NodeId> order = graph.order();
  bool changed = false;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& node = graph.node(*it);
    bool keep = false;
    for (ValueId id : node.outputs) keep |= id != kNoValue && needed[id];
    if (!keep) {
      graph.RemoveNode(*it);
      changed = true;
      continue;
    }
    for (ValueId id : node.inputs) {
      if (id != kNoValue) needed[id] = true;
    }
  }
  graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
