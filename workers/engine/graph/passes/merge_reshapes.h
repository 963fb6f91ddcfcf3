#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_RESHAPES_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_RESHAPES_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Of operators that only regroup elements (Reshape, Flatten, Squeeze,
// Unsqueeze), the first of two goes:
//   Reshape or Flatten of any of them reads what that one reads;
//   Squeeze and Unsqueeze of the same axes cancel;
//   Unsqueeze, Transpose and Squeeze of the new axis become one Transpose.
// Unsqueeze and Squeeze are never made a Reshape, which says less about
// channels. Needs shapes.
class MergeReshapes : public Pass {
 public:
  absl::string_view Name() const override { return "merge_reshapes"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_MERGE_RESHAPES_H_
