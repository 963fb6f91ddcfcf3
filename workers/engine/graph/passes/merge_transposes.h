#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_TRANSPOSES_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_TRANSPOSES_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// A Transpose of a Transpose becomes one, or none where they are inverse.
class MergeTransposes : public Pass {
 public:
  absl::string_view Name() const override { return "merge_transposes"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_TRANSPOSES_H_
