#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_PREFLIGHT_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_PREFLIGHT_H_

#include "absl/status/status.h"
#include "workers/engine/pipeline/run_context.h"

namespace condense::pipeline {

// Finds in seconds what would else be found in hours: missing data, shapes and
// labels that do not fit the model, patterns without a match, targets that the
// frozen layers do not allow, numerics that a profile lacks, operators that
// cannot be verified, gates that cannot be measured; then tries one forward
// and, where the job trains, one training step on a copy.
absl::Status Preflight(RunContext* context);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_PREFLIGHT_H_
