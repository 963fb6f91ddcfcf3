#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

struct VerifyOptions {
  // Compares types and shapes with those that the operators' rules give, which
  // costs a shape inference on a copy. Without it: before shapes are inferred.
  bool types = true;
};

// OK if the graph is sound, its subgraphs included:
// - inputs, constants and nodes' outputs are each made once, and all that is
//   read is one of them or an earlier node's; there is an output;
// - ids refer to something, names are unique, producers are those that say so;
// - constants have the type and shape of their tensor;
// - operators are known and have their inputs, outputs and attributes; bodies
//   of If, Loop and Scan take and give what their node does; quantizers have a
//   grid;
// - values have the type and shape that their producer's rule gives.
// Otherwise the first fault: INVALID_ARGUMENT with reason BAD_GRAPH, or
// SHAPE_MISMATCH from a rule, with the node, and the value in the sentence.
absl::Status Verify(const Graph& graph, const VerifyOptions& options = {});

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_VERIFY_H_
