#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SIMPLIFY_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SIMPLIFY_H_

#include "absl/status/status.h"
#include "workers/engine/graph/graph.h"

namespace condense::graph {

struct SimplifyOptions {
  // Only shape inference: every node stays.
  bool only_infer = false;
};

// What every imported graph goes through: constants folded, control flow that
// does not depend on data resolved, identities and
// repetitions removed, decomposed operators fused until nothing changes, then
// symbolic_batch; shapes are inferred and
// the graph is verified after each.
absl::Status Simplify(Graph& graph, const SimplifyOptions& options = {});

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SIMPLIFY_H_
