#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_PRELU_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_PRELU_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// relu(x) plus slope times the negative part of x becomes PRelu, or LeakyRelu
// where the slope is one number. The negative part is min(x, 0), -relu(-x) or
// (x - |x|) / 2, the slope may stand on either factor; and max(x, a x) with a
// number 0 < a < 1 is a LeakyRelu.
class FusePRelu : public Pass {
 public:
  absl::string_view Name() const override { return "fuse_prelu"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_FUSE_PRELU_H_
