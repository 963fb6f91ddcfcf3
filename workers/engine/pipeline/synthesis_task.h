#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_SYNTHESIS_TASK_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_SYNTHESIS_TASK_H_

#include "absl/status/status.h"
#include "workers/engine/pipeline/run_context.h"

namespace condense::pipeline {

// A stage whose qat_data is synthetic has a model to make images from, and a
// step of that runs on this machine. INVALID_ARGUMENT with reason
// NO_BATCH_NORM; errors of the executor.
absl::Status CheckSynthesis(const Job& job);

// Of the job's synthetic images, all batches.
int64_t SynthesisSteps(const Job& job);

// Makes the job's synthetic images from the original model, from where
// state().synthetic stands. Writes checkpoints. Where the time budget ends it
// before, there are as many images, but some are less like data, or repeated
// (quantization::Synthesizer::End). All ranks make the same. CANCELLED when it
// was interrupted; state() then says where it stands.
absl::Status RunSynthesis(RunContext* context, const Task& task);

// Puts images that are all made into the job: those of a checkpoint.
void TakeSynthetic(const Job& job, const torch::Tensor& images);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_SYNTHESIS_TASK_H_
