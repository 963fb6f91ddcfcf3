#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SIMPLIFY_ARITHMETIC_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SIMPLIFY_ARITHMETIC_H_

#include "workers/engine/graph/passes/pass.h"

namespace condense::graph {

// Arithmetic of floats with one number:
//   x^2 becomes x * x, x^0.5 Sqrt, x^-1 Reciprocal, x^1 x;
//   x * 1, x / 1, x + 0 and x - 0 become x;
//   (a s)(b t) of a MatMul becomes (a st) b, as exporters of attention split
//   its scale over both operands.
class SimplifyArithmetic : public Pass {
 public:
  absl::string_view Name() const override { return "simplify_arithmetic"; }
  absl::StatusOr<bool> Run(Graph& graph) const override;
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_PASSES_SIMPLIFY_ARITHMETIC_H_
