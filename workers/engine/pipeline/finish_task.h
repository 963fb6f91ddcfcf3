#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_FINISH_TASK_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_FINISH_TASK_H_

#include "absl/status/statusor.h"
#include "workers/engine/pipeline/run_context.h"

namespace condense::pipeline {

// Exports `simulation` for one profile, reads the file back and verifies it,
// and writes JOB_DIR/artifacts/PROFILE: model, report, recipe, tensors and
// provenance. Returns the verdict.
absl::StatusOr<v1::Artifact::Verdict> FinishProfile(
    RunContext* context, const v1::DeviceProfile& profile,
    const graph::Graph& simulation);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_FINISH_TASK_H_
