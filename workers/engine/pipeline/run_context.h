#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_CONTEXT_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_CONTEXT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "workers/engine/pipeline/control.h"
#include "workers/engine/pipeline/event_sink.h"
#include "workers/engine/pipeline/job.h"
#include "workers/engine/pipeline/run_state.h"
#include "workers/engine/pipeline/tasks.h"

namespace condense::pipeline {

// What every task of a running job shares: its inputs, its state, where it
// tells what happens and how it is asked to stop. Not thread-safe.
class RunContext {
 public:
  // All must outlive the context.
  RunContext(const Job* job, Control* control, Narrator* narrator)
      : job_(*job), control_(*control), narrator_(*narrator) {}

  const Job& job() const { return job_; }
  Narrator& narrator() { return narrator_; }
  RunState& state() { return state_; }

  // CANCELLED when the job was asked to stop or to end.
  absl::Status Interrupted() const;
  // Asked to stop so that it can go on later.
  bool StopsToGoOn() const {
    return control_.request() == Control::Request::kCheckpointAndStop;
  }

  // --- Checkpoints ------------------------------------------------------
  // Writes the state to JOB_DIR/checkpoints and announces it; the newest two
  // files are kept.
  absl::Status SaveCheckpoint();
  // SaveCheckpoint if the interval has passed.
  bool CheckpointIsDue() const;
  // Takes the state from resume_from or the newest file in JOB_DIR/checkpoints;
  // begins anew, with a warning, where it does not fit. True: it went on.
  absl::StatusOr<bool> Resume();
  // After a job is done.
  void RemoveCheckpoints();

  // --- Rows of the report -----------------------------------------------
  // The row of the task's stage, made if it is not there.
  report::Stage& Row(const Task& task);
  // Measures `state().graph` on the evaluation data, if there is any.
  absl::Status MeasureTop1();

  // --- Figures ----------------------------------------------------------
  // Optimizer steps of all training tasks; 0: none.
  int64_t planned_steps = 0;
  // Counts a step and tells, now and then, loss, progress and totals.
  void CountStep(const training::StepInfo& info);
  void TellProgress(double fraction);
  // Warns of the images that the loaders left out, unless it did already.
  void WarnOfCorruptImages();

 private:
  std::string CheckpointFolder() const;

  const Job& job_;
  Control& control_;
  Narrator& narrator_;
  RunState state_;
  absl::Time last_checkpoint_ = absl::InfiniteFuture();
  absl::Time last_stats_ = absl::InfinitePast();
  v1::EngineStats stats_;
  int64_t saved_ = 0;
  // Corrupt images that were warned of, by data set.
  std::map<std::string, size_t> corrupt_told_;
};

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_CONTEXT_H_
