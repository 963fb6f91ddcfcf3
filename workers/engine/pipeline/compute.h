#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_COMPUTE_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_COMPUTE_H_

#include <string>

#include "absl/status/status.h"
#include "workers/engine/pipeline/job.h"
#include "workers/engine/pipeline/tasks.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {

class RunContext;

// What the recipe leaves to measuring, decided once per job and kept in its
// checkpoints: a job that goes on computes as it began.
struct ComputeChoice {
  runtime::Precision precision = runtime::Precision::kFloat32;
  bool channels_last = false;
};
// "contiguous" or "channels_last".
std::string MemoryFormatName(const ComputeChoice& choice);

// Refuses what the device cannot do: INVALID_ARGUMENT with reason
// PRECISION_UNSUPPORTED for fp16 outside of a GPU.
absl::Status CheckCompute(const Job& job);

// What the recipe names; float32 and contiguous where it says auto.
ComputeChoice UnmeasuredChoice(const Job& job);

// Sets state().compute to what the recipe says, and where it says auto to the
// fastest of what there is, by training steps of the real model on a real
// batch. Measured only where the planned training is long enough to pay for it;
// else UnmeasuredChoice.
absl::Status ChooseCompute(RunContext* context);

// How the executors of a training task run. Training through quantizers stays
// in float32 unless the recipe itself names a precision: what the quantizers
// round to is not rounded again then.
runtime::ExecutorOptions TrainingOptions(const Job& job,
                                         const ComputeChoice& choice,
                                         const Task& task);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_COMPUTE_H_
