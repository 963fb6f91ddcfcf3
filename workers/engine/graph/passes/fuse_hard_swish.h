#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_HARD_SWISH_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_HARD_SWISH_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// x * HardSigmoid(x) with alpha = 1/6 and beta = 0.5, and x * clip(x + 3, 0, 6)
// / 6, become HardSwish (ONNX, opset 14).
class FuseHardSwish : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_hard_swish"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_HARD_SWISH_H_
