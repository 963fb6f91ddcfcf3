#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_COMMON_SUBEXPRESSIONS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_COMMON_SUBEXPRESSIONS_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Nodes with equal operator, attributes and inputs become one; constants are
// compared by content. Outputs of the graph keep their names and nodes.
class CommonSubexpressions : public Pass {
 public:
  absl::string_view Name() const override { return "common_subexpressions"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_COMMON_SUBEXPRESSIONS_H_
