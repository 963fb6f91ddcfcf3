#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_EVALUATOR_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_EVALUATOR_H_

#include <functional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/evaluation/embedded_samples.h"
#include "workers/engine/pipeline/job.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/measurement.h"

namespace condense::pipeline {

// Measures models on a job's evaluation data by the figures of its task:
//   classification: top1 (what counts), top5, loss
//   verification: accuracy over ten folds of pairs (what counts), eer,
//     tar_at_far_1e-3, and rank1 where there are labels

struct Evaluated {
  training::Measurement figures;
  // Verification only: of all samples, held in memory; the images are not.
  evaluation::EmbeddedSamples embeddings;
};

// Called between batches; an error ends the evaluation.
using Interrupt = std::function<absl::Status()>;

// `loader` is the job's EvalLoader. Errors: those of the loader and the
// executor, and of `interrupted`.
absl::StatusOr<Evaluated> EvaluateModel(const Job& job,
                                        runtime::Executor* model,
                                        data::Loader* loader,
                                        const Interrupt& interrupted);

// Likewise, of a graph on the job's device.
absl::StatusOr<Evaluated> EvaluateGraph(const Job& job,
                                        const graph::Graph& graph,
                                        data::Loader* loader,
                                        const Interrupt& interrupted);

// The figures of embeddings of the job's evaluation data, however they were
// found.
training::Measurement VerificationFiguresOf(
    const Job& job, const evaluation::EmbeddedSamples& samples);

// Whether model and evaluation data give the figures that a job of task
// verification is asked for; INVALID_ARGUMENT: OUTPUT_SHAPE_MISMATCH,
// LABELS_MISSING, ONE_KIND_OF_PAIR, and TOO_FEW_PAIRS where the accuracy of ten
// folds is needed for a gate or early_stop. Nothing is decoded.
absl::Status CheckVerification(const Job& job);

// A gate, or the early_stop of a stage, is about the figure that counts.
bool NeedsAccuracy(const v1::Recipe& recipe);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_EVALUATOR_H_
