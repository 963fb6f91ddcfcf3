#include "workers/engine/graph/verify.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/error.h"

namespace condense::graph {
namespace {

absl::Status Bad(const std::string& message, const std::string& node = "") {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_GRAPH", message,
                   {.node = node});
}

}  // namespace

absl::Status Verify(const Graph& graph) {
  std::vector<bool> made(graph.value_limit(), false);
  for (ValueId id : graph.inputs()) {
    if (!graph.HasValue(id)) return Bad("a graph input is missing");
    made[id] = true;
  }
  for (ValueId id : graph.values()) {
    if (graph.IsConstant(id)) made[id] = true;
  }
  for (NodeId node_id : graph.order()) {
    const Node& node = graph.node(node_id);
    for (ValueId id : node.inputs) {
      if (id == kNoValue) continue;
      if (!graph.HasValue(id)) return Bad("an input is missing", node.name);
      if (!made[id]) {
        return Bad(absl::StrCat("'", graph.value(id).name,
                                "' is read before it is made"),
                   node.name);
      }
    }
    for (ValueId id : node.outputs) {
      if (id == kNoValue) continue;
      if (!graph.HasValue(id) || graph.value(id).producer != node_id) {
        return Bad("an output does not belong to its node", node.name);
      }
      if (made[id]) {
        return Bad(absl::StrCat("'", graph.value(id).name, "' is made twice"),
                   node.name);
      }
      made[id] = true;
    }
  }
  if (graph.outputs().empty()) return Bad("the graph has no output");
  for (ValueId id : graph.outputs()) {
    if (!graph.HasValue(id) || !made[id]) return Bad("an output is not made");
  }
  return absl::OkStatus();
}

}  // namespace condense::graph
