#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_ARITY_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_ARITY_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

// The node has the inputs that its operator cannot do without, no more inputs
// and outputs than it knows (ONNX, opset 17, or the first that has it), and at
// least one output. INVALID_ARGUMENT with reason BAD_GRAPH and the node.
absl::Status CheckArity(const Node& node);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_ARITY_H_
