#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZERS_IN_GRAPH_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZERS_IN_GRAPH_H_

#include <functional>

#include "workers/engine/graph/graph.h"

namespace condense::quantization {

// Whether the graph simulates quantization: it has a FakeQuantize node.
bool HasQuantizers(const graph::Graph& graph);

// The same graph in float: everything reads what the quantizers read. Weights
// keep their float values; outputs keep their names.
graph::Graph WithoutQuantizers(const graph::Graph& graph);

// Without those quantizers alone that `which` chooses.
graph::Graph WithoutQuantizers(
    const graph::Graph& graph,
    const std::function<bool(graph::NodeId, const graph::Node&)>& which);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZERS_IN_GRAPH_H_
