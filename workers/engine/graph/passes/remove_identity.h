#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_REMOVE_IDENTITY_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_REMOVE_IDENTITY_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Removes Identity, Dropout (as in evaluation), Cast to the same type, Pad by
// nothing, pooling of single places, Concat, Sum, Max, Min and Mean of one
// value, and Reshape, Expand or Transpose that change nothing. A node whose
// output is the graph's keeps its place where its input cannot take the name.
class RemoveIdentity : public Pass {
 public:
  absl::string_view Name() const override { return "remove_identity"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_REMOVE_IDENTITY_H_
