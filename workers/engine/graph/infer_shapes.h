#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_INFER_SHAPES_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_INFER_SHAPES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

// Fills in dtype and shape of every value from the graph's inputs and
// constants, by ONNX's rules at Graph::kOpset. A symbol (the batch) is carried
// through; what cannot be known stays unknown. INVALID_ARGUMENT with reason
// SHAPE_MISMATCH and the node where shapes contradict an operator, BAD_GRAPH
// where it lacks an input.
absl::Status InferShapes(Graph& graph);

// The same for one node whose inputs are inferred.
absl::Status InferNode(Graph& graph, NodeId id);

// Whether the operator has a rule: those of ONNX that models may use, and our
// own ("condense::FakeQuantize").
bool IsKnown(const Node& node);
// All of them, sorted; our own with their domain.
std::vector<std::string> OperatorsWithShapes();

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_INFER_SHAPES_H_
