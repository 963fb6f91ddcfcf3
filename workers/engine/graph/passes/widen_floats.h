#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_WIDEN_FLOATS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_WIDEN_FLOATS_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// float16, bfloat16 and float64 become float32 everywhere: constants, inputs,
// outputs, what Cast and its like name, bodies of If, Loop and Scan. Models are
// trained and quantized in float32, whatever they were saved in; casts between
// floating types then change nothing and are removed as identities. What the
// inputs and outputs were is kept (declared_types.h). Needs inferred types.
class WidenFloats : public Pass {
 public:
  absl::string_view Name() const override { return "widen_floats"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_WIDEN_FLOATS_H_
