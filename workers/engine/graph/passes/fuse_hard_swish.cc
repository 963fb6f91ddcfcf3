#include "workers/engine/graph/passes/fuse_hard_swish.h"

#include <cmath>

#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool IsHardSigmoid(const Graph& graph, ValueId id, ValueId x) {
  const Node* gate = MadeBy(graph, id, "HardSigmoid");
  return gate != nullptr && gate->inputs[0] == x &&
         std::abs(gate->Float("alpha", 0.2f) - 1.0f / 6) < 1e-4f &&
         gate->Float("beta", 0.5f) == 0.5f;
}

// clip(x + 3, 0, 6)
bool IsClippedShift(const Graph& graph, ValueId id, ValueId x) {
  const Node* clip = MadeBy(graph, id, "Clip");
  if (clip == nullptr || NumberOf(graph, clip->input(1)) != 0.0f ||
      NumberOf(graph, clip->input(2)) != 6.0f) {
    return false;
  }
  const Node* add = MadeBy(graph, clip->inputs[0], "Add");
  return add != nullptr && OtherThanNumber(graph, *add, 3) == x;
}

// x * gate(x), in either order.
template <typename Gate>
ValueId GatedInput(const Graph& graph, const Node& mul, Gate gate) {
  for (size_t i : {0, 1}) {
    if (gate(graph, mul.inputs[1 - i], mul.inputs[i])) return mul.inputs[i];
  }
  return kNoValue;
}

// The input of the hard swish that the node ends, or kNoValue.
ValueId Match(const Graph& graph, const Node& node) {
  if (node.Is("Mul")) {
    const ValueId x = GatedInput(graph, node, IsHardSigmoid);
    if (x != kNoValue) return x;
  }
  ValueId product = kNoValue;
  if (node.Is("Div") && IsNumber(graph, node.input(1), 6)) {
    product = node.inputs[0];
  } else if (node.Is("Mul")) {
    product = OtherThanNumber(graph, node, 1.0f / 6);
  }
  const Node* mul = MadeBy(graph, product, "Mul");
  return mul == nullptr ? kNoValue : GatedInput(graph, *mul, IsClippedShift);
}

}  // namespace

absl::StatusOr<bool> FuseHardSwish::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (!graph.HasNode(id)) continue;
    const ValueId x = Match(graph, graph.node(id));
    if (x == kNoValue) continue;
    Rewriter rewriter(&graph, id);
    rewriter.Replace(rewriter.Op("HardSwish", {x}));
    changed = true;
  }
  return changed;
}

}  // namespace condense::graph
