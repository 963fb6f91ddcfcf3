#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_GELU_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_GELU_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// x * 0.5 * (1 + erf(x / sqrt 2)), in any order of its factors, becomes Gelu
// (ONNX operator Gelu, opset 20; Hendrycks and Gimpel 2016); with
// tanh(sqrt(2 / pi) (x + 0.044715 x^3)) for the erf, Gelu with approximate
// "tanh".
class FuseGelu : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_gelu"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_GELU_H_
