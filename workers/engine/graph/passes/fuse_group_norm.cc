#include "workers/engine/graph/passes/fuse_group_norm.h"

#include <algorithm>

#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool AllAre(const Graph& graph, ValueId id, float number) {
  const Tensor* tensor = graph.ConstantOf(id);
  if (tensor == nullptr || !IsFloating(tensor->dtype())) return false;
  const std::vector<float> values = tensor->ToFloats();
  return std::all_of(values.begin(), values.end(),
                     [&](float v) { return v == number; });
}

// The constant of [C] or [C, 1, ...] that is combined with `other`.
ValueId PerChannel(const Graph& graph, const Node& node, ValueId other,
                   int64_t channels, size_t rank) {
  for (size_t i : {0, 1}) {
    const Tensor* tensor = graph.ConstantOf(node.inputs[i]);
    if (tensor == nullptr || node.inputs[1 - i] != other) continue;
    const auto& dims = tensor->dims();
    // Aligned at the end: the channels stand before rank - 2 ones.
    const bool fits = dims.size() >= rank - 1 &&
                      dims[dims.size() - (rank - 1)] == channels &&
                      tensor->num_elements() == channels;
    if (fits) return node.inputs[i];
  }
  return kNoValue;
}

ValueId Flat(Graph& graph, ValueId id, int64_t channels) {
  const Tensor tensor = *graph.ConstantOf(id);
  if (tensor.rank() == 1) return id;
  const std::string name = graph.value(id).name;
  const ValueId flat = graph.AddConstant(
      name, Tensor(tensor.dtype(), {channels}, tensor.bytes()));
  graph.RenameValue(flat, name);
  return flat;
}

bool Fuse(Graph& graph, NodeId id) {
  const Node& norm = graph.node(id);
  const Node* to_groups = MadeBy(graph, norm.inputs[0], "Reshape");
  const auto& grouped = graph.value(norm.inputs[0]).shape;
  const NodeId back = OnlyConsumer(graph, norm.outputs[0]);
  if (to_groups == nullptr || !grouped || grouped->size() != 3 ||
      !(*grouped)[1].known() || back == kNoNode ||
      !graph.node(back).Is("Reshape") || !AllAre(graph, norm.inputs[1], 1) ||
      !AllAre(graph, norm.inputs[2], 0)) {
    return false;
  }
  const ValueId x = to_groups->inputs[0];
  const auto shape = graph.value(x).shape;
  if (!shape || shape->size() < 3 || !(*shape)[1].known() ||
      graph.value(graph.node(back).outputs[0]).shape != shape) {
    return false;
  }
  const int64_t channels = (*shape)[1].value;
  const NodeId mul = OnlyConsumer(graph, graph.node(back).outputs[0]);
  if (mul == kNoNode || !graph.node(mul).Is("Mul")) return false;
  const ValueId scale =
      PerChannel(graph, graph.node(mul), graph.node(back).outputs[0], channels,
                 shape->size());
  const NodeId add = OnlyConsumer(graph, graph.node(mul).outputs[0]);
  if (scale == kNoValue || add == kNoNode || !graph.node(add).Is("Add")) {
    return false;
  }
  const ValueId bias =
      PerChannel(graph, graph.node(add), graph.node(mul).outputs[0], channels,
                 shape->size());
  if (bias == kNoValue) return false;
  const float epsilon = norm.Float("epsilon", 1e-5f);
  const int64_t groups = (*grouped)[1].value;
  Rewriter rewriter(&graph, add);
  rewriter.Replace(rewriter.Op(
      "GroupNormalization",
      {x, Flat(graph, scale, channels), Flat(graph, bias, channels)},
      {{"num_groups", groups}, {"epsilon", epsilon}}));
  return true;
}

}  // namespace

absl::StatusOr<bool> FuseGroupNorm::Run(Graph& graph) const {
  bool changed = false;
  const std::vector<NodeId> order = graph.order();
  for (NodeId id : order) {
    if (graph.HasNode(id) && graph.node(id).Is("InstanceNormalization")) {
      changed |= Fuse(graph, id);
    }
  }
  return changed;
}

}  // namespace condense::graph
