#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

// OK if every value that is read is a graph input, a constant or made by an
// earlier node, every output exists and every id refers to something. Otherwise
// INVALID_ARGUMENT with reason BAD_GRAPH and the node.
absl::Status Verify(const Graph& graph);

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_H_
