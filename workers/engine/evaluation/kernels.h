#ifndef CONDENSE_WORKERS_ENGINE_EVALUATION_KERNELS_H_
#define CONDENSE_WORKERS_ENGINE_EVALUATION_KERNELS_H_

// The verifier's operators; see integer_runtime.h.

#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/evaluation/integer_runtime.h"
#include "workers/engine/graph/graph.h"

namespace condense::evaluation {

// A constant as a file stores it (constants.h).
struct Constant {
  std::vector<int64_t> dims;
  std::vector<float> values;
  // Integers less their zero point and one scale, or one per channel; empty for
  // others.
  std::vector<int32_t> levels;
  std::vector<float> scales;
};

// y = x * w + b over windows; integers when x and w have levels.
Activation RunConv(const graph::Node& node, const Activation& x,
                   const Constant& weight, const Constant* bias);
// y = x * w + b; `weight` as [out, in] rows.
Activation RunLinear(const Activation& x, const Constant& weight,
                     const Constant* bias);

// Operators without weights, on float values whose shapes the graph knows but
// for the batch.
bool HasFloatKernel(const graph::Graph& graph, const graph::Node& node);
absl::StatusOr<Activation> RunFloat(
    const graph::Graph& graph, const graph::Node& node,
    const std::vector<const Activation*>& inputs);

}  // namespace condense::evaluation

#endif  // CONDENSE_WORKERS_ENGINE_EVALUATION_KERNELS_H_
