#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_TRAIN_TASK_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_TRAIN_TASK_H_

#include <memory>

#include "absl/status/status.h"
#include "workers/engine/pipeline/run_context.h"
#include "workers/engine/pipeline/settings.h"

namespace condense::pipeline {

// Trains state().graph by the task's stage (finetune, or the qat part of a
// quantize stage), from where state().training stands. Writes checkpoints. Ends
// early, with the best so far, where the job's time budget asks for it or
// nothing improves; the stage's row of the report says so.
// CANCELLED when it was interrupted; a checkpoint was written if the job is to
// go on later.
absl::Status RunTraining(RunContext* context, const Task& task);

// The settings of the stage that the task trains by, with the task's epochs.
TrainingSettings SettingsOf(const v1::Recipe& recipe, const Task& task);

// Optimizer steps of the task on this job.
int64_t PlannedSteps(const Job& job, const Task& task);

// What the settings train on; nullptr where the job has no such data.
std::unique_ptr<data::Loader> TrainLoaderOf(const Job& job,
                                            const TrainingSettings& settings);

// Labels only (smoothed as the settings say), or losses against `teacher`,
// which must outlive the function; null where the settings have none. Without
// labels KL(teacher || student) where the job's evaluation data has labels,
// which says that outputs are classes, else, and for verification always, 1 -
// cos of the outputs.
training::LossFunction LossOf(const Job& job, const TrainingSettings& settings,
                              runtime::Executor* teacher);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_TRAIN_TASK_H_
