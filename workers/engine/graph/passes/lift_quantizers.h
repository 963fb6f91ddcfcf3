#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_QUANTIZERS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_QUANTIZERS_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// The quantizers of a model that arrives quantized, as condense::FakeQuantize:
// integer operators first (lift_integer_operators), then QuantizeLinear and
// DequantizeLinear with constant scale and zero point. Pairs over activations
// become one FakeQuantize, stored symmetric weights their float values under a
// FakeQuantize whose qmin and qmax are the levels in use (so 7 bits in int8
// stay 7 bits), int32 biases and asymmetric weights plain floats. Names are
// those that lowering (quantization/lower_qdq.h) gives back. What does not fit
// (computed scales, blocks) stays as it is. Needs shapes.
class LiftQuantizers : public Pass {
 public:
  absl::string_view Name() const override { return "lift_quantizers"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_QUANTIZERS_H_
