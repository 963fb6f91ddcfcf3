#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_HARD_SIGMOID_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_HARD_SIGMOID_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// clip(x + b, 0, c) / c, with Mul or Div, and clip(a x + b, 0, 1) become
// HardSigmoid (ONNX: max(0, min(1, alpha x + beta))).
class FuseHardSigmoid : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_hard_sigmoid"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_HARD_SIGMOID_H_
