#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_JOB_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_JOB_H_

#include <string>

#include "absl/status/status.h"
#include "condense/v1/engine.pb.h"
#include "workers/engine/pipeline/control.h"
#include "workers/engine/pipeline/event_sink.h"
#include "workers/engine/pipeline/ranks.h"

namespace condense::pipeline {

// How a job went.
struct JobResult {
  v1::Done::Outcome outcome = v1::Done::OUTCOME_UNSPECIFIED;
  // Why it failed; OK otherwise.
  absl::Status status;
  // Every artifact's verdict is PASSED.
  bool all_passed = true;
  // The job file, the recipe or a profile could not be read.
  bool bad_input = false;

  // Exit code of `condense-engine run` (contract, section 3): 0 done and
  // passed, 3 another verdict, 4 failed, 5 cancelled or stopped, 2 the job
  // file, the recipe's text or a profile is wrong.
  int ExitCode() const;
};

// Runs the job of `job_dir` (job.json or job.yaml) from its beginning or its
// checkpoint to artifacts/PROFILE/ for each profile. Every outcome is also
// told to `sink`, Done last. Both must outlive the call. A rank that does not
// lead trains with the others, and writes and tells nothing.
JobResult RunJob(const std::string& job_dir, Control* control, EventSink* sink,
                 const RankPlan& ranks = {});

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_JOB_H_
