#ifndef CONDENSE_WORKERS_ENGINE_EVALUATION_CONSTANTS_H_
#define CONDENSE_WORKERS_ENGINE_EVALUATION_CONSTANTS_H_

#include "absl/status/statusor.h"
#include "workers/engine/evaluation/kernels.h"
#include "workers/engine/graph/graph.h"

namespace condense::evaluation {

// A constant, or what DequantizeLinear, Cast to a floating type, Reshape, Mul
// and Sub make of constants: how a file stores weights.
bool IsStoredConstant(const graph::Graph& graph, graph::ValueId id);

// Its values; with levels and scales where it is a DequantizeLinear per tensor
// or channel. `id` must be a stored constant. Errors of the float kernels.
absl::StatusOr<Constant> ReadConstant(const graph::Graph& graph,
                                      graph::ValueId id);

}  // namespace condense::evaluation

#endif  // CONDENSE_WORKERS_ENGINE_EVALUATION_CONSTANTS_H_
