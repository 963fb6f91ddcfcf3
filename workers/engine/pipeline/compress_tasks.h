#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_COMPRESS_TASKS_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_COMPRESS_TASKS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/pipeline/run_context.h"
#include "workers/engine/pruning/coupling.h"
#include "workers/engine/pruning/plan.h"

namespace condense::pipeline {

// One step of a prune stage on state().graph.
absl::Status RunPruning(RunContext* context, const Task& task);

// Folds normalisation, places quantizers for the task's profile and takes their
// ranges from the calibration data. The result stands in state().graph.
absl::Status RunCalibration(RunContext* context, const Task& task);

// What the stage would remove from `graph` to reach `share` of the original
// model's multiply-accumulates or parameters.
struct PruningPlan {
  pruning::Coupling coupling;
  pruning::Plan plan;
};
absl::StatusOr<PruningPlan> PlanPruning(const Job& job, int stage, double share,
                                        const graph::Graph& graph);
// The share that the recipe's target names.
double TargetOf(const v1::Prune& prune);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_COMPRESS_TASKS_H_
