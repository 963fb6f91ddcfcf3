#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_LAYER_NORM_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_LAYER_NORM_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// (x - mean) / sqrt(variance + epsilon), with scale and bias if they follow,
// becomes LayerNormalization (ONNX, opset 17), over the last axes alone. The
// root may be Sqrt or Pow, the division a product with its inverse, and Keras's
// x k + (bias - mean k) with k = scale / deviation is the same.
class FuseLayerNorm : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_layer_norm"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_LAYER_NORM_H_
