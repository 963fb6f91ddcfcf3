#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_CONSTANTS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_CONSTANTS_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Replaces integer arithmetic on constants and shapes by constants, also where
// only some elements of a shape are known: Shape, Gather, Slice, Concat, Cast,
// Squeeze, Unsqueeze, Reshape, Transpose, ConstantOfShape, Range, Where, Add,
// Sub, Mul, Div, Mod, Min, Max, Neg, Abs, comparisons and logic.
// In the sizes of a Reshape one unknown element becomes -1. Needs shapes.
class FoldConstants : public Pass {
 public:
  absl::string_view Name() const override { return "fold_constants"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FOLD_CONSTANTS_H_
