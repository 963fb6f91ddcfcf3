#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_BIAS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_BIAS_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// The Add of a constant per output channel behind a Conv, ConvTranspose or Gemm
// without a bias becomes its bias; a MatMul of rank 2 with such an Add becomes
// a Gemm. Integer kernels add biases exactly, and fuse what follows them. A
// single number for many channels stays: it may belong to an activation. Needs
// shapes.
class FuseBias : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_bias"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_BIAS_H_
