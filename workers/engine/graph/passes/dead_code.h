#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_DEAD_CODE_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_DEAD_CODE_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Removes nodes and values that no output needs.
class DeadCode : public Pass {
 public:
  absl::string_view Name() const override { return "dead_code"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_DEAD_CODE_H_
