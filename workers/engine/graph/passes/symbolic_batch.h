#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SYMBOLIC_BATCH_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SYMBOLIC_BATCH_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Makes a fixed batch of 1 the symbol N: the first dimension of every input,
// and the leading 1 of Reshape sizes that stands for it. Leaves the graph alone
// if the rest does not follow.
class SymbolicBatch : public Pass {
 public:
  absl::string_view Name() const override { return "symbolic_batch"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SYMBOLIC_BATCH_H_
