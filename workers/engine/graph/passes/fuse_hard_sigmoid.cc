#include "workers/engine/graph/passes/fuse_hard_sigmoid.h"

#include <cmath>

#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

// value = factor * x + shift.
struct Line {
  ValueId x = kNoValue;
  float factor = 1;
  float shift = 0;
};

struct Operand {
  ValueId x = kNoValue;
  float number = 0;
};

// The other input and the number of a node with one number.
std::optional<Operand> WithNumber(const Graph& graph, const Node* node,
                                  bool commutes) {
  if (node == nullptr || node->inputs.size() != 2) return std::nullopt;
  if (const auto number = NumberOf(graph, node->inputs[1])) {
    return Operand{node->inputs[0], *number};
  }
  const auto number = NumberOf(graph, node->inputs[0]);
  if (!commutes || !number) return std::nullopt;
  return Operand{node->inputs[1], *number};
}

// The factor of a Mul or Div by a number.
std::optional<Operand> ScaledBy(const Graph& graph, ValueId id) {
  if (auto mul = WithNumber(graph, MadeBy(graph, id, "Mul"), true)) return mul;
  auto div = WithNumber(graph, MadeBy(graph, id, "Div"), false);
  if (!div || div->number == 0) return std::nullopt;
  div->number = 1 / div->number;
  return div;
}

Line LineOf(const Graph& graph, ValueId id) {
  Line line{id, 1, 0};
  if (auto add = WithNumber(graph, MadeBy(graph, id, "Add"), true)) {
    line = {add->x, 1, add->number};
  }
  if (auto scaled = ScaledBy(graph, line.x)) {
    line.x = scaled->x;
    line.factor = scaled->number;
  }
  return line;
}

// The Clip of [0, top] that makes the value.
const Node* ClipTo(const Graph& graph, ValueId id, float* top) {
  const Node* clip = MadeBy(graph, id, "Clip");
  if (clip == nullptr || NumberOf(graph, clip->input(1)) != 0.0f) {
    return nullptr;
  }
  const auto high = NumberOf(graph, clip->input(2));
  if (!high || !(*high > 0) || !std::isfinite(*high)) return nullptr;
  *top = *high;
  return clip;
}

void Replace(Graph& graph, NodeId id, const Line& line, float scale) {
  Rewriter rewriter(&graph, id);
  rewriter.Replace(rewriter.Op(
      "HardSigmoid", {line.x},
      {{"alpha", line.factor * scale}, {"beta", line.shift * scale}}));
}

bool Fuse(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  float top = 0;
  if (node.Is("Clip") && ClipTo(graph, node.outputs[0], &top) && top == 1) {
    const Line line = LineOf(graph, node.inputs[0]);
    // A plain clip to [0, 1] is none.
    if (line.x == node.inputs[0] || line.factor <= 0) return false;
    Replace(graph, id, line, 1);
    return true;
  }
  if (!node.Is("Mul") && !node.Is("Div")) return false;
  const auto scaled = ScaledBy(graph, node.outputs[0]);
  if (!scaled) return false;
  const Node* clip = ClipTo(graph, scaled->x, &top);
  if (clip == nullptr || OnlyConsumer(graph, clip->outputs[0]) != id ||
      std::abs(scaled->number * top - 1) > 1e-4f) {
    return false;
  }
  const Line line = LineOf(graph, clip->inputs[0]);
  if (line.x == clip->inputs[0] || line.factor <= 0) return false;
  Replace(graph, id, line, 1 / top);
  return true;
}

}  // namespace

absl::StatusOr<bool> FuseHardSigmoid::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id)) changed |= Fuse(graph, id);
  }
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
