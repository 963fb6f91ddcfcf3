#include "workers/engine/quantization/live_batch_norm.h"

#include <cmath>
#include <vector>

#include "common/status_macros.h"
#include "workers/engine/graph/passes/fold_batch_norm.h"
#include "workers/engine/graph/rewrite.h"
#include "workers/engine/quantization/weight_quantizer.h"
#include "workers/engine/quantization/weight_tables.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::kNoNode;
using graph::Node;
using graph::NodeId;

// The quantizer of a layer's weight, while it is away.
struct Removed {
  NodeId layer = kNoNode;
  WeightGrid grid;
  // Its scales where they may be others than the weight's own: learnt ones;
  // and the largest weights under them, before normalisation was folded.
  std::vector<float> scales;
  std::vector<float> largest;
};

bool FeedsBatchNorm(const Graph& graph, NodeId layer) {
  const NodeId next = graph::OnlyConsumer(graph, graph.node(layer).outputs[0]);
  return next != kNoNode && graph.node(next).Is("BatchNormalization");
}

// max abs of each channel of the layer's weight.
std::vector<float> LargestOf(const Graph& graph, NodeId layer, int64_t axis) {
  return WeightScales(*graph.ConstantOf(graph.node(layer).inputs[1]), axis, 1);
}

Removed Remove(NodeId layer, NodeId quantizer, Graph* graph) {
  const Node q = graph->node(quantizer);
  graph->mutable_node(layer).inputs[1] = q.inputs[0];
  graph->RemoveNode(quantizer);
  Removed removed = {layer, WeightGridOf(q), {}, {}};
  if (removed.grid.scheme == "max_abs" && removed.grid.block_size == 0) {
    removed.scales = graph->ConstantOf(q.inputs[1])->ToFloats();
    removed.largest = LargestOf(*graph, layer, removed.grid.axis);
  }
  return removed;
}

// Scales are multiplied as their channels were. A channel that is zero now has
// the scale that QuantizeWeight gives it.
void PutBack(const Removed& removed, Graph* graph) {
  QuantizeWeight(graph, removed.layer, removed.grid);
  if (removed.scales.empty()) return;
  const NodeId quantizer =
      graph->value(graph->node(removed.layer).inputs[1]).producer;
  const graph::ValueId id = graph->node(quantizer).inputs[1];
  const graph::Tensor fitted = *graph->ConstantOf(id);
  const std::vector<float> largest =
      WeightScales(*graph->ConstantOf(graph->node(quantizer).inputs[0]),
                   removed.grid.axis, 1);
  std::vector<float> scales = fitted.ToFloats();
  for (size_t c = 0; c < scales.size(); ++c) {
    const float moved = removed.scales[c] * (largest[c] / removed.largest[c]);
    if (std::isnormal(moved)) scales[c] = moved;
  }
  graph->SetConstant(id, graph::Tensor::Of<float>(fitted.dims(), scales));
}

}  // namespace

absl::Status FoldLiveBatchNorm(Graph* graph) {
  std::vector<Removed> removed;
  const std::vector<NodeId> order = graph->order();
  for (NodeId id : order) {
    const Node& node = graph->node(id);
    if (node.inputs.size() < 2 || !FeedsBatchNorm(*graph, id)) continue;
    const NodeId quantizer = graph->value(node.inputs[1]).producer;
    if (quantizer == kNoNode || !graph->node(quantizer).IsFakeQuantize() ||
        graph->node(quantizer).String("role", "") != "weight") {
      continue;
    }
    // A table belongs to the weight as it was trained; what folding multiplies
    // are the levels.
    if (TableKindOf(graph->node(quantizer).String("scheme", ""))) {
      ProjectWeight(graph, quantizer);
    }
    removed.push_back(Remove(id, quantizer, graph));
  }
  CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(*graph).status());
  graph->RemoveDeadValues();
  for (const Removed& r : removed) PutBack(r, graph);
  return absl::OkStatus();
}

}  // namespace condense::quantization
