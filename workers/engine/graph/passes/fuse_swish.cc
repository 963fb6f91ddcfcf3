#include "workers/engine/graph/passes/fuse_swish.h"

#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

// alpha where the value is sigmoid(alpha x) and nothing else reads it.
std::optional<float> GateOf(const Graph& graph, ValueId id, ValueId x) {
  const Node* gate = MadeBy(graph, id, "Sigmoid");
  if (gate == nullptr || OnlyConsumer(graph, id) == kNoNode) {
    return std::nullopt;
  }
  if (gate->inputs[0] == x) return 1.0f;
  const Node* scaled = MadeBy(graph, gate->inputs[0], "Mul");
  if (scaled == nullptr || scaled->inputs.size() != 2) return std::nullopt;
  for (size_t i : {0, 1}) {
    if (scaled->inputs[i] == x) return NumberOf(graph, scaled->inputs[1 - i]);
  }
  return std::nullopt;
}

bool Fuse(Graph& graph, NodeId id) {
  const Node& mul = graph.node(id);
  if (!mul.Is("Mul") || mul.inputs.size() != 2 ||
      graph.value(mul.outputs[0]).dtype != DType::kFloat32) {
    return false;
  }
  for (size_t i : {0, 1}) {
    const ValueId x = mul.inputs[i];
    const auto alpha = GateOf(graph, mul.inputs[1 - i], x);
    if (!alpha) continue;
    std::map<std::string, Attribute> attrs;
    if (*alpha != 1) attrs["alpha"] = *alpha;
    Rewriter rewriter(&graph, id);
    rewriter.Replace(rewriter.Op("Swish", {x}, attrs));
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> FuseSwish::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id)) changed |= Fuse(graph, id);
  }
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
