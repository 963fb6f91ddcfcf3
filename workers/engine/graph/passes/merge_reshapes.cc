#include "workers/engine/graph/passes/merge_reshapes.h"

#include <algorithm>

#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool Regroups(const Node& node) {
  return node.Is("Reshape") || node.Is("Flatten") || node.Is("Squeeze") ||
         node.Is("Unsqueeze");
}

const Node* RegroupedBy(const Graph& graph, ValueId id) {
  if (id == kNoValue || graph.value(id).producer == kNoNode) return nullptr;
  const Node& node = graph.node(graph.value(id).producer);
  return Regroups(node) && node.outputs[0] == id ? &node : nullptr;
}

bool SameDim(const Dim& a, const Dim& b) {
  return a == b && (a.known() || !a.symbol.empty());
}

// Axes of a Squeeze or Unsqueeze, counted from the front of the longer shape.
std::optional<std::vector<int64_t>> AxesOf(const Graph& graph,
                                           const Node& node) {
  const ValueId longer = node.Is("Squeeze") ? node.inputs[0] : node.outputs[0];
  const auto& shape = graph.value(longer).shape;
  auto axes = IntegersOf(graph, node.input(1));
  if (!shape || !axes) return std::nullopt;
  for (int64_t& axis : *axes) {
    if (axis < 0) axis += static_cast<int64_t>(shape->size());
  }
  std::sort(axes->begin(), axes->end());
  return axes;
}

// Sizes that do not copy a dimension which the first of the two has moved.
std::optional<std::vector<int64_t>> SizesFor(const Graph& graph,
                                             const Node& reshape, ValueId x) {
  auto given = IntegersOf(graph, reshape.input(1));
  const auto& middle = graph.value(reshape.inputs[0]).shape;
  const auto& from = graph.value(x).shape;
  if (!given || reshape.Int("allowzero", 0) != 0) return std::nullopt;
  std::vector<int64_t>& sizes = *given;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] != 0) continue;
    if (!middle || i >= middle->size()) return std::nullopt;
    const Dim& dim = (*middle)[i];
    if (from && i < from->size() && SameDim((*from)[i], dim)) continue;
    if (!dim.known()) return std::nullopt;
    sizes[i] = dim.value;
  }
  return given;
}

// Reshape and Flatten read what the operator before them reads.
bool SkipOne(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Node* first = RegroupedBy(graph, node.inputs[0]);
  if (first == nullptr) return false;
  const ValueId x = first->inputs[0];
  if (node.Is("Flatten")) {
    const auto& from = graph.value(x).shape;
    const auto& middle = graph.value(node.inputs[0]).shape;
    if (node.Int("axis", 1) != 1 || !from || !middle || from->empty() ||
        middle->empty() || !SameDim((*from)[0], (*middle)[0])) {
      return false;
    }
    graph.mutable_node(id).inputs[0] = x;
    return true;
  }
  const auto sizes = SizesFor(graph, node, x);
  if (!sizes) return false;
  ValueId operand = node.inputs[1];
  if (*sizes != graph.ConstantOf(operand)->ToInts()) {
    operand = graph.AddConstant(
        graph.value(operand).name,
        Tensor::Of<int64_t>({static_cast<int64_t>(sizes->size())}, *sizes));
  }
  graph.mutable_node(id).inputs = {x, operand};
  return true;
}

bool Cancel(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const Node* first = MadeBy(graph, node.inputs[0],
                             node.Is("Squeeze") ? "Unsqueeze" : "Squeeze");
  if (first == nullptr || graph.IsOutput(node.outputs[0])) return false;
  const auto a = AxesOf(graph, *first), b = AxesOf(graph, node);
  if (!a || !b || *a != *b) return false;
  graph.ReplaceUses(node.outputs[0], first->inputs[0]);
  graph.RemoveNode(id);
  return true;
}

// Squeeze(Transpose(Unsqueeze(x))) of one axis: the Transpose of what is left.
bool Unwrap(Graph& graph, NodeId id) {
  const Node& squeeze = graph.node(id);
  const Node* turn = MadeBy(graph, squeeze.inputs[0], "Transpose");
  const Node* wrap =
      turn == nullptr ? nullptr : MadeBy(graph, turn->inputs[0], "Unsqueeze");
  if (wrap == nullptr) return false;
  const auto made = AxesOf(graph, *wrap), gone = AxesOf(graph, squeeze);
  const std::vector<int64_t> perm = turn->Ints("perm");
  if (!made || !gone || made->size() != 1 || gone->size() != 1 ||
      perm.size() <= static_cast<size_t>((*gone)[0]) ||
      perm[(*gone)[0]] != (*made)[0]) {
    return false;
  }
  std::vector<int64_t> left;
  for (int64_t axis : perm) {
    if (axis != (*made)[0]) left.push_back(axis - (axis > (*made)[0] ? 1 : 0));
  }
  Rewriter rewriter(&graph, id);
  rewriter.Replace(
      rewriter.Op("Transpose", {wrap->inputs[0]}, {{"perm", left}}));
  return true;
}

}  // namespace

absl::StatusOr<bool> MergeReshapes::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    const Node& node = graph.node(id);
    if (node.Is("Reshape") || node.Is("Flatten")) {
      // As far up as it goes.
      while (SkipOne(graph, id)) changed = true;
    } else if (node.Is("Squeeze")) {
      changed |= Cancel(graph, id) || Unwrap(graph, id);
    } else if (node.Is("Unsqueeze")) {
      changed |= Cancel(graph, id);
    }
  }
  // Else what is read no longer would be found again.
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
