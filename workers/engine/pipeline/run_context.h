#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_CONTEXT_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_CONTEXT_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "workers/engine/pipeline/control.h"
#include "workers/engine/pipeline/evaluator.h"
#include "workers/engine/pipeline/event_sink.h"
#include "workers/engine/pipeline/job.h"
#include "workers/engine/pipeline/run_state.h"
#include "workers/engine/pipeline/tasks.h"
#include "workers/engine/training/checkpoint_writer.h"
#include "workers/engine/training/collective.h"

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

  // Absent: this process works alone.
  const training::Collective* collective() const { return collective_.get(); }
  void SetCollective(std::unique_ptr<training::Collective> collective) {
    collective_ = std::move(collective);
  }
  // This process writes and tells.
  bool leads() const { return job_.ranks().leads(); }

  // CANCELLED when the job was asked to stop or to end.
  absl::Status Interrupted() const;
  // Asked to stop so that it can go on later.
  bool StopsToGoOn() const {
    return control_.request() == Control::Request::kCheckpointAndStop;
  }

  // --- Checkpoints ------------------------------------------------------
  // Copies the state and writes it, on another thread, to JOB_DIR/checkpoints;
  // announced when it is there; the newest two files are kept. An error is that
  // of the checkpoint before. A rank that does not lead writes nothing.
  absl::Status SaveCheckpoint();
  // Waits until the last one is there.
  absl::Status FlushCheckpoint() { return writer_.Flush(); }
  // The interval has passed.
  bool CheckpointIsDue() const;
  // Takes the state from resume_from or the newest file in JOB_DIR/checkpoints;
  // begins anew, with a warning, where it does not fit. True: it went on.
  absl::StatusOr<bool> Resume();
  // After a job is done.
  void RemoveCheckpoints();

  // --- Rows of the report -----------------------------------------------
  // The row of the task's stage, made if it is not there.
  report::Stage& Row(const Task& task);
  // Measure the original model and `state().graph` on the evaluation data, if
  // there is any, and tell the figures.
  absl::Status MeasureBaseline();
  absl::Status MeasureCurrent();
  // Verification, with evaluation data: the original model's embeddings, which
  // an attempt that went on from a checkpoint computes again.
  absl::StatusOr<const evaluation::EmbeddedSamples*> OriginalEmbeddings();

  // --- Time budget ------------------------------------------------------
  // When the task at hand, `step` steps into its training, has to end: the time
  // that is left for training is shared by the steps that are planned. Ever,
  // without a budget.
  absl::Time TrainingDeadline(int64_t step) const;
  // Seconds of work on the job in all attempts.
  double Elapsed() const;

  // --- Figures ----------------------------------------------------------
  // Optimizer steps of each task, on weights or on synthetic images; 0: none.
  std::vector<int64_t> planned_steps;
  int64_t all_planned_steps() const;
  // Counts a step and tells, now and then, progress and totals.
  void Advance(const training::StepInfo& info);
  // Of training: tells loss, rate and gradient too.
  void CountStep(const training::StepInfo& info);
  // The time budget ended `what` after `done` of `total` steps: says so in the
  // row and in a warning.
  void NoteCut(const std::string& what, int64_t done, int64_t total,
               report::Stage* row);
  void TellProgress(double fraction);
  // Warns of the images that the loaders left out, unless it did already.
  void WarnOfCorruptImages();

 private:
  std::string CheckpointFolder() const;
  absl::StatusOr<Evaluated> Measure(const graph::Graph& graph,
                                    data::Loader* loader);
  // The figure that counts, on its curve.
  void TellMain(const training::Measurement& figures, int64_t step);

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
  const absl::Time start_ = absl::Now();
  // Of attempts before.
  double elapsed_before_ = 0;
  // Of state_.graph while task `graphs_of_` trains.
  GraphBlobs graphs_;
  std::optional<size_t> graphs_of_;
  std::unique_ptr<training::Collective> collective_;
  training::CheckpointWriter writer_;
  std::optional<evaluation::EmbeddedSamples> original_embeddings_;
};

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_RUN_CONTEXT_H_
