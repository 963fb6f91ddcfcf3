#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_INTEGER_OPERATORS_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_INTEGER_OPERATORS_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Integer operators with constant scales as their float operator between
// DequantizeLinear and QuantizeLinear:
//   QLinearConv, QLinearMatMul: the same function up to half a level;
//   MaxPool, Reshape, Flatten, Transpose, Squeeze, Unsqueeze, Slice and Concat
//     of quantized values: exactly the same;
//   ConvInteger and MatMulInteger behind a DynamicQuantizeLinear, with the Cast
//     and the Mul of both scales: the float operator on what was quantized; the
//     rounding of the activation, whose scale each batch chose anew, is gone.
class LiftIntegerOperators : public Pass {
 public:
  absl::string_view Name() const override { return "lift_integer_operators"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_LIFT_INTEGER_OPERATORS_H_
