#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_SWISH_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_SWISH_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// x * sigmoid(x), and x * sigmoid(alpha x), become Swish (ONNX operator Swish,
// opset 24; SiLU in PyTorch), which keeps one tensor for its gradient where the
// product keeps two. Exports to older opsets write the product again.
class FuseSwish : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_swish"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_SWISH_H_
