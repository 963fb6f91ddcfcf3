#include "workers/engine/graph/passes/simplify_arithmetic.h"

#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

// A number that does not widen the shape of the other operand.
std::optional<float> Number(const Graph& graph, ValueId id, ValueId other) {
  const auto number = NumberOf(graph, id);
  const auto& shape = graph.value(other).shape;
  const bool fits =
      number && shape &&
      graph.ConstantOf(id)->rank() <= static_cast<int64_t>(shape->size());
  return fits ? number : std::nullopt;
}

bool SimplifyPow(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const ValueId x = node.inputs[0];
  const auto exponent = Number(graph, node.input(1), x);
  if (!exponent) return false;
  Rewriter rewriter(&graph, id);
  if (*exponent == 2) {
    rewriter.Replace(rewriter.Op("Mul", {x, x}));
  } else if (*exponent == 0.5f) {
    rewriter.Replace(rewriter.Op("Sqrt", {x}));
  } else if (*exponent == -1) {
    rewriter.Replace(rewriter.Op("Reciprocal", {x}));
  } else {
    return false;
  }
  return true;
}

// The operand that the node hands on, or kNoValue.
ValueId Unchanged(const Graph& graph, const Node& node) {
  if (node.inputs.size() != 2) return kNoValue;
  const ValueId a = node.inputs[0], b = node.inputs[1];
  const bool sum = node.Is("Add") || node.Is("Sub");
  const bool product = node.Is("Mul") || node.Is("Div") || node.Is("Pow");
  if (!sum && !product) return kNoValue;
  const float neutral = sum ? 0.0f : 1.0f;
  if (Number(graph, b, a) == neutral) return a;
  const bool commutes = node.Is("Add") || node.Is("Mul");
  return commutes && Number(graph, a, b) == neutral ? b : kNoValue;
}

bool DropNeutral(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const ValueId x = Unchanged(graph, node);
  if (x == kNoValue || graph.IsConstant(x) || graph.IsOutput(node.outputs[0])) {
    return false;
  }
  graph.ReplaceUses(node.outputs[0], x);
  graph.RemoveNode(id);
  return true;
}

// a and s of a * s with one number, read by nobody else.
ValueId Scaled(const Graph& graph, ValueId id, float* scale) {
  const Node* mul = MadeBy(graph, id, "Mul");
  if (mul == nullptr || mul->inputs.size() != 2 ||
      OnlyConsumer(graph, id) == kNoNode) {
    return kNoValue;
  }
  for (size_t i : {0, 1}) {
    const auto number = Number(graph, mul->inputs[i], mul->inputs[1 - i]);
    if (!number) continue;
    *scale = *number;
    return mul->inputs[1 - i];
  }
  return kNoValue;
}

bool MergeScales(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  float s = 1, t = 1;
  const ValueId a = Scaled(graph, node.inputs[0], &s);
  const ValueId b = Scaled(graph, node.inputs[1], &t);
  if (a == kNoValue || b == kNoValue || node.inputs[0] == node.inputs[1]) {
    return false;
  }
  Rewriter rewriter(&graph, id);
  const ValueId scaled = rewriter.Op("Mul", {a, rewriter.Float(s * t)});
  graph.mutable_node(id).inputs = {scaled, b};
  return true;
}

bool SimplifyOne(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.domain.empty() || !IsFloating(graph.value(node.outputs[0]).dtype)) {
    return false;
  }
  if (node.Is("MatMul")) return MergeScales(graph, id);
  return DropNeutral(graph, id) || (node.Is("Pow") && SimplifyPow(graph, id));
}

}  // namespace

absl::StatusOr<bool> SimplifyArithmetic::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id)) changed |= SimplifyOne(graph, id);
  }
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
