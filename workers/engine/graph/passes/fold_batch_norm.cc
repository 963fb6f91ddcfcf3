#include "workers/engine/graph/passes/fold_batch_norm.h"

#include <algorithm>

#include "workers/engine/graph/passes/channel_affine.h"
#include "workers/engine/graph/passes/linear_layer.h"
#include "workers/engine/graph/rewrite.h"

namespace condense::graph {
namespace {

bool MayFold(const Node& node) {
  return node.Is("BatchNormalization") || node.Is("Add") || node.Is("Sub") ||
         node.Is("Mul") || node.Is("Div");
}

bool OnlyMoves(const Node& node) {
  return node.Is("Transpose") || node.Is("Reshape") || node.Is("Flatten") ||
         node.Is("Squeeze") || node.Is("Unsqueeze") || node.Is("Identity") ||
         node.Is("Dropout");
}

// The input that is not a constant, if it is the only one.
ValueId DataInput(const Graph& graph, const Node& node) {
  if (node.Is("BatchNormalization")) return node.inputs[0];
  if (node.inputs.size() != 2) return kNoValue;
  const bool first = graph.IsConstant(node.inputs[0]);
  if (first == graph.IsConstant(node.inputs[1])) return kNoValue;
  return node.inputs[first ? 1 : 0];
}

// The layer that makes `id`, through nodes that only move elements; `channels`
// are where its outputs stand in `id`.
std::optional<LinearLayer> LayerBefore(const Graph& graph, ValueId id,
                                       ChannelAxis* channels) {
  std::vector<NodeId> moves;
  while (id != kNoValue && OnlyConsumer(graph, id) != kNoNode) {
    const NodeId producer = graph.value(id).producer;
    if (producer == kNoNode) return std::nullopt;
    const Node& node = graph.node(producer);
    // The Add of a MatMul's bias belongs to the layer.
    const ValueId product = node.Is("Add") ? DataInput(graph, node) : kNoValue;
    const Node* matmul = MadeBy(graph, product, "MatMul");
    const auto layer =
        LinearLayerAt(graph, matmul != nullptr ? matmul->id : producer);
    if (layer && OutputOf(graph, *layer) == id) {
      *channels = layer->channels;
      for (auto it = moves.rbegin(); it != moves.rend(); ++it) {
        const auto next = ChannelsBehind(graph, graph.node(*it), *channels);
        if (!next) return std::nullopt;
        *channels = *next;
      }
      return layer;
    }
    if (!OnlyMoves(node) || node.outputs[0] != id) return std::nullopt;
    moves.push_back(producer);
    id = node.inputs[0];
  }
  return std::nullopt;
}

// The node's readers read `x`, which takes over its name.
void Drop(Graph& graph, NodeId id, ValueId x) {
  const ValueId out = graph.node(id).outputs[0];
  const std::string name = graph.value(out).name;
  graph.ReplaceUses(out, x);
  graph.RemoveNode(id);
  graph.RenameValue(x, name);
}

bool FoldIntoBefore(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const ValueId x = DataInput(graph, node);
  ChannelAxis channels;
  const auto layer = LayerBefore(graph, x, &channels);
  if (!layer || layer->add == id) return false;
  const auto affine = AffineOf(graph, node, x, channels);
  if (!affine) return false;
  const bool shifts_matmul = graph.node(layer->node).Is("MatMul") &&
                             layer->add == kNoNode && affine->ScalesNothing();
  // That Add is the layer's bias, or would become it right where it stands.
  if (shifts_matmul) return false;
  ApplyAfter(graph, *layer, *affine);
  // The Add of a MatMul's new bias stands before the node now.
  Drop(graph, id, DataInput(graph, graph.node(id)));
  return true;
}

// One entry per column of [N, C * H * W] from one per channel of [N, C, H, W].
bool SpreadOverColumns(const Graph& graph, const Node& node,
                       ChannelAffine* affine) {
  const auto& from = graph.value(node.inputs[0]).shape;
  const auto& to = graph.value(node.outputs[0]).shape;
  const bool flattens = node.Is("Flatten") || node.Is("Reshape");
  if (!flattens || !from || !to || from->size() < 2 || to->size() != 2 ||
      (*from)[0] != (*to)[0] || !(*to)[1].known()) {
    return false;
  }
  const int64_t channels = static_cast<int64_t>(affine->factor.size());
  const int64_t columns = (*to)[1].value;
  if (columns % channels != 0) return false;
  ChannelAffine spread;
  for (int64_t i = 0; i < columns; ++i) {
    spread.factor.push_back(affine->factor[i / (columns / channels)]);
    spread.shift.push_back(affine->shift[i / (columns / channels)]);
  }
  *affine = std::move(spread);
  return true;
}

// Whether the input channels of the node are those of the value it reads.
bool ReadsChannels(const Node& node, const ChannelAxis& channels) {
  return node.Is("Conv") ? channels.axis == 1
                         : channels.axis == channels.rank - 1;
}

bool FoldIntoBehind(Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const ValueId x = DataInput(graph, node);
  if (x == kNoValue || !graph.value(x).shape) return false;
  const Shape& shape = *graph.value(x).shape;
  // The bias of a MatMul stays with it.
  if (node.Is("Add") && MadeBy(graph, x, "MatMul") != nullptr) return false;
  for (size_t axis = 1; axis < shape.size(); ++axis) {
    ChannelAxis channels{shape[axis].value, static_cast<int64_t>(axis),
                         static_cast<int64_t>(shape.size())};
    if (!shape[axis].known()) continue;
    auto affine = AffineOf(graph, node, x, channels);
    ValueId y = node.outputs[0];
    while (affine) {
      const NodeId next = OnlyConsumer(graph, y);
      if (next == kNoNode || graph.node(next).input(0) != y) break;
      const Node& reader = graph.node(next);
      const auto layer = LinearLayerAt(graph, next);
      if (layer) {
        if (!ReadsChannels(reader, channels) ||
            !TakesBefore(*layer, reader, *affine)) {
          break;
        }
        ApplyBefore(graph, *layer, *affine);
        graph.ReplaceUses(node.outputs[0], x);
        graph.RemoveNode(id);
        return true;
      }
      if (const auto behind = ChannelsBehind(graph, reader, channels)) {
        channels = *behind;
      } else if (channels.axis == 1 &&
                 SpreadOverColumns(graph, reader, &*affine)) {
        channels = {static_cast<int64_t>(affine->factor.size()), 1, 2};
      } else {
        break;
      }
      y = reader.outputs[0];
    }
  }
  return false;
}

}  // namespace

absl::StatusOr<bool> FoldBatchNorm::Run(Graph& graph) const {
  bool changed = false, again = true;
  // Each round takes a node away, so this ends.
  while (again) {
    again = false;
    const std::vector<NodeId> order = graph.order();
    for (NodeId id : order) {
      if (!graph.HasNode(id) || !MayFold(graph.node(id))) continue;
      again |= FoldIntoBefore(graph, id) || FoldIntoBehind(graph, id);
    }
    changed |= again;
  }
  if (changed) graph.RemoveDeadValues();
  return changed;
}

}  // namespace condense::graph
