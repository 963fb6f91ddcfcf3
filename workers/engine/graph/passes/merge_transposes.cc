#include "workers/engine/graph/passes/merge_transposes.h"

#include <algorithm>
#include <numeric>

#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool Merge(Graph& graph, NodeId id) {
  Node& second = graph.mutable_node(id);
  if (!second.Is("Transpose")) return false;
  const Node* first = MadeBy(graph, second.inputs[0], "Transpose");
  if (first == nullptr) return false;
  const std::vector<int64_t> inner = first->Ints("perm");
  const std::vector<int64_t> outer = second.Ints("perm");
  if (inner.empty() || inner.size() != outer.size()) return false;
  std::vector<int64_t> perm;
  for (int64_t axis : outer) perm.push_back(inner[axis]);
  const ValueId x = first->inputs[0];
  const bool nothing = std::is_sorted(perm.begin(), perm.end());
  if (nothing && !graph.IsOutput(second.outputs[0])) {
    graph.ReplaceUses(second.outputs[0], x);
    graph.RemoveNode(id);
  } else {
    // Nothing moves: remove_identity looks after the output's name.
    second.inputs[0] = x;
    second.attrs["perm"] = perm;
  }
  return true;
}

}  // namespace

absl::StatusOr<bool> MergeTransposes::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id)) changed |= Merge(graph, id);
  }
  // Else the first of two would stay.
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
