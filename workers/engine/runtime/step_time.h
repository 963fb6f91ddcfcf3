#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_TIME_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_TIME_H_

#include <torch/torch.h>

#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::runtime {

// Seconds of one training step (forward; backward of the mean square of the
// first output) of the graph under each of the options: the median of `rounds`
// rounds in which all take turns, after one step each to warm up. An option
// that cannot run, or whose first step takes four times that of the first
// option, is infinitely slow. Errors: those of the first option.
absl::StatusOr<std::vector<double>> MeasureSteps(
    const graph::Graph& graph, const std::vector<ExecutorOptions>& options,
    const std::vector<torch::Tensor>& inputs, int rounds);

// The option to take: the first, unless another takes less than 0.95 of its
// time; then the fastest.
size_t FastestOption(const std::vector<double>& seconds);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_STEP_TIME_H_
