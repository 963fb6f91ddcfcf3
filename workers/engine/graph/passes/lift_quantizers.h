#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_QUANTIZERS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_QUANTIZERS_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// QuantizeLinear and DequantizeLinear with constant scale and zero point become
// quantizers of our own: pairs over activations condense::FakeQuantize, stored
// weights their float values under a FakeQuantize, int32 biases plain floats.
// What does not fit (computed scales, blocks) stays as it is.
class LiftQuantizers : public Pass {
 public:
  absl::string_view Name() const override { return "lift_quantizers"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_QUANTIZERS_H_
