#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_INLINE_CONTROL_FLOW_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_INLINE_CONTROL_FLOW_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Resolves control flow that does not depend on data, so that what stood in
// bodies can be compressed like everything else:
// - If with a constant condition becomes the branch that runs;
// - Loop is unrolled if its condition can be told in every turn
// (scalar_value.h)
//   and it ends by that or by a constant trip count;
// - Scan is unrolled if the length that it goes over is known.
// Constants of a body stay one constant for all turns. Left as they are:
// unrollings that add more than kNodesAddedMax nodes, or make the graph larger
// than kNodesMax; loops without a turn that stack outputs, whose shape nobody
// knows. Nodes of turn 2 of Loop "l" are called "l/2/...".
class InlineControlFlow : public Pass {
 public:
  static constexpr size_t kNodesAddedMax = 4096;
  static constexpr size_t kNodesMax = 16384;

  absl::string_view Name() const override { return "inline_control_flow"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_INLINE_CONTROL_FLOW_H_
