#include "workers/engine/quantization/live_batch_norm.h"

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
};

bool FeedsBatchNorm(const Graph& graph, NodeId layer) {
  const NodeId next = graph::OnlyConsumer(graph, graph.node(layer).outputs[0]);
  return next != kNoNode && graph.node(next).Is("BatchNormalization");
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
    const Node& q = graph->node(quantizer);
    removed.push_back({id, WeightGridOf(q)});
    graph->mutable_node(id).inputs[1] = q.inputs[0];
    graph->RemoveNode(quantizer);
  }
  CONDENSE_RETURN_IF_ERROR(graph::FoldBatchNorm().Run(*graph).status());
  graph->RemoveDeadValues();
  for (const Removed& r : removed) {
    QuantizeWeight(graph, r.layer, r.grid);
  }
  return absl::OkStatus();
}

}  // namespace condense::quantization
