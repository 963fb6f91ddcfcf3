#include "workers/engine/graph/passes/fuse_clip.h"

#include <algorithm>
#include <limits>

#include "common/status_macros.h"
#include "workers/engine/graph/passes/dead_code.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Bounds {
  ValueId x = kNoValue;
  float low = -kInfinity;
  float high = kInfinity;
};

// The bounds of a Clip with constant ones.
std::optional<Bounds> ClipBounds(const Graph& graph, const Node& node) {
  Bounds bounds{node.inputs[0]};
  for (size_t i : {1, 2}) {
    if (node.input(i) == kNoValue) continue;
    const auto number = NumberOf(graph, node.input(i));
    if (!number) return std::nullopt;
    (i == 1 ? bounds.low : bounds.high) = *number;
  }
  return bounds;
}

std::optional<Bounds> BoundsOf(const Graph& graph, const Node& node) {
  if (node.Is("Relu")) return Bounds{node.inputs[0], 0, kInfinity};
  if (node.Is("Clip")) return ClipBounds(graph, node);
  if ((!node.Is("Max") && !node.Is("Min")) || node.inputs.size() != 2) {
    return std::nullopt;
  }
  for (size_t i : {0, 1}) {
    const Tensor* tensor = graph.ConstantOf(node.inputs[i]);
    const auto number = NumberOf(graph, node.inputs[i]);
    const auto& shape = graph.value(node.inputs[1 - i]).shape;
    if (!number || !shape ||
        tensor->rank() > static_cast<int64_t>(shape->size())) {
      continue;
    }
    Bounds bounds{node.inputs[1 - i]};
    (node.Is("Max") ? bounds.low : bounds.high) = *number;
    return bounds;
  }
  return std::nullopt;
}

const Node* Producer(const Graph& graph, ValueId id) {
  const NodeId producer = graph.value(id).producer;
  return producer == kNoNode ? nullptr : &graph.node(producer);
}

void Replace(Graph& graph, NodeId id, const Bounds& bounds) {
  Rewriter rewriter(&graph, id);
  if (bounds.low == 0 && bounds.high == kInfinity) {
    rewriter.Replace(rewriter.Op("Relu", {bounds.x}));
    return;
  }
  std::vector<ValueId> inputs = {bounds.x, bounds.low == -kInfinity
                                               ? kNoValue
                                               : rewriter.Float(bounds.low)};
  if (bounds.high != kInfinity) inputs.push_back(rewriter.Float(bounds.high));
  rewriter.Replace(rewriter.Op("Clip", inputs));
}

bool Fuse(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  auto bounds = BoundsOf(graph, node);
  if (!bounds || graph.value(node.outputs[0]).dtype != DType::kFloat32) {
    return false;
  }
  bool changed =
      node.Is("Max") || node.Is("Min") ||
      (node.Is("Clip") && bounds->low == 0 && bounds->high == kInfinity);
  const Node* before = Producer(graph, bounds->x);
  if (before != nullptr && OnlyConsumer(graph, bounds->x) == id) {
    const auto inner = BoundsOf(graph, *before);
    // min(max(x, a), b) as a Clip needs a <= b.
    if (inner && inner->low <= bounds->high && bounds->low <= inner->high) {
      bounds = Bounds{inner->x, std::max(inner->low, bounds->low),
                      std::min(inner->high, bounds->high)};
      changed = true;
    }
  }
  if (!changed) return false;
  Replace(graph, id, *bounds);
  return true;
}

}  // namespace

absl::StatusOr<bool> FuseClip::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id)) changed |= Fuse(graph, id);
  }
  if (changed) CONDENSE_RETURN_IF_ERROR(DeadCode().Run(graph).status());
  return changed;
}

}  // namespace condense::graph
