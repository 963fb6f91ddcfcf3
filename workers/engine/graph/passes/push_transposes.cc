#include "workers/engine/graph/passes/push_transposes.h"

#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/passes/merge_transposes.h"
#include "workers/engine/graph/passes/remove_identity.h"
#include "workers/engine/graph/passes/transpose_pusher.h"

namespace condense::graph {
namespace {

int64_t TransposesIn(const Graph& graph) {
  const auto& order = graph.order();
  return std::count_if(order.begin(), order.end(), [&](NodeId id) {
    return graph.node(id).Is("Transpose");
  });
}

// Below as many of its readers as let it.
bool PushOne(Graph& graph, NodeId id) {
  const ValueId y = graph.node(id).outputs[0];
  bool changed = false;
  for (NodeId reader : graph.Consumers(y)) {
    if (graph.HasNode(reader)) {
      changed |= TransposePusher(&graph).Push(id, reader);
    }
  }
  return changed;
}

absl::StatusOr<bool> PushAll(Graph& graph) {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!graph.HasNode(id) || !graph.node(id).Is("Transpose")) continue;
    if (IsToChannelsLast(graph.node(id).Ints("perm"))) {
      changed |= PushOne(graph, id);
    }
  }
  if (!changed) return false;
  CONDENSE_RETURN_IF_ERROR(MergeTransposes().Run(graph).status());
  CONDENSE_RETURN_IF_ERROR(RemoveIdentity().Run(graph).status());
  CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return true;
}

}  // namespace

absl::StatusOr<bool> PushTransposes::Run(Graph& graph) const {
  const int64_t before = TransposesIn(graph);
  if (before == 0) return false;
  Graph moved = graph;
  // Each round takes every Transpose down by one node at least.
  const size_t rounds = graph.order().size();
  for (size_t round = 0; round < rounds; ++round) {
    CONDENSE_ASSIGN_OR_RETURN(const bool changed, PushAll(moved));
    if (!changed) break;
  }
  if (TransposesIn(moved) >= before) return false;
  CONDENSE_RETURN_IF_ERROR(InferShapes(moved));
  graph = std::move(moved);
  return true;
}

}  // namespace condense::graph
