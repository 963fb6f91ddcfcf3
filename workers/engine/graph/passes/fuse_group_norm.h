#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_GROUP_NORM_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_GROUP_NORM_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Reshape to groups, InstanceNormalization, Reshape back, scale and bias per
// channel, as PyTorch exports group_norm, becomes GroupNormalization (ONNX,
// opset 21).
class FuseGroupNorm : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_group_norm"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_GROUP_NORM_H_
