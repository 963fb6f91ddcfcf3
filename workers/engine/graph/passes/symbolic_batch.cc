#include "workers/engine/graph/passes/symbolic_batch.h"

#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

void ForgetShapes(Graph& graph) {
  for (NodeId id : graph.order()) {
    for (ValueId output : graph.node(id).outputs) {
      if (output != kNoValue) graph.mutable_value(output).shape.reset();
    }
  }
}

bool IsBatch(const std::optional<Shape>& shape) {
  return shape && !shape->empty() && (*shape)[0].symbol == "N";
}

// Walks in order, so that each Reshape sees the shape that its input has now.
absl::Status FollowReshapes(Graph& graph) {
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    ForgetShapes(graph);
    if (!graph.node(id).Is("Reshape")) continue;
    if (absl::Status status = InferShapes(graph); !status.ok()) {
      // A later Reshape that still has its 1 contradicts: that is what we mend.
    }
    const Node& node = graph.node(id);
    const auto sizes = IntegersOf(graph, node.input(1));
    if (!sizes || !IsBatch(graph.value(node.inputs[0]).shape)) continue;
    std::vector<int64_t> values = *sizes;
    if (values.empty() || values[0] != 1) continue;
    values[0] = 0;
    const ValueId copy = graph.AddConstant(
        graph.value(node.inputs[1]).name,
        Tensor::Of<int64_t>({static_cast<int64_t>(values.size())}, values));
    graph.mutable_node(id).inputs[1] = copy;
  }
  ForgetShapes(graph);
  return InferShapes(graph);
}

}  // namespace

absl::StatusOr<bool> SymbolicBatch::Run(Graph& graph) const {
  bool fixed = !graph.inputs().empty();
  for (ValueId id : graph.inputs()) {
    const auto& shape = graph.value(id).shape;
    fixed &= shape && !shape->empty() && (*shape)[0] == Dim(1);
  }
  if (!fixed) return false;
  Graph copy = graph;
  for (ValueId id : copy.inputs()) {
    (*copy.mutable_value(id).shape)[0] = Dim::Symbol("N");
  }
  if (!FollowReshapes(copy).ok()) return false;
  for (ValueId id : copy.outputs()) {
    const auto& before = graph.value(id).shape;
    if (before && !before->empty() && !IsBatch(copy.value(id).shape)) {
      return false;
    }
  }
  graph = std::move(copy);
  return true;
}

}  // namespace condense::graph
