#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_TRAINER_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_TRAINER_H_

#include <torch/torch.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/sync_batch_norm.h"
#include "workers/engine/training/collective.h"
#include "workers/engine/training/divergence.h"
#include "workers/engine/training/early_stop.h"
#include "workers/engine/training/evaluate.h"
#include "workers/engine/training/grad_scaler.h"
#include "workers/engine/training/gradient_buckets.h"
#include "workers/engine/training/optimizer.h"
#include "workers/engine/training/schedule.h"
#include "workers/engine/training/weight_copy.h"

namespace condense::training {

// A scalar from the model's outputs: the mean over the batch.
using LossFunction = std::function<torch::Tensor(
    const TrainBatch& batch, const std::vector<torch::Tensor>& outputs)>;

// Mean cross-entropy of the first output, without smoothing.
torch::Tensor CrossEntropyLoss(const TrainBatch& batch,
                               const std::vector<torch::Tensor>& outputs);

// Where a run stands: the data cursor and the schedule's step.
struct Position {
  int64_t epoch = 0;
  // Of the epoch.
  int64_t batch = 0;
  // Optimizer steps of the stage, from 0.
  int64_t step = 0;
};

// One optimizer step.
struct StepInfo {
  Position next;
  int64_t total_steps = 0;
  // Mean over its batches.
  double loss = 0;
  double lr = 0;
  // Of the averaged gradient, before clipping.
  double grad_norm = 0;
  double seconds = 0;
  int64_t samples = 0;
  double data_wait_seconds = 0;
  // Where the model was measured after it.
  std::optional<Measurement> evaluated;
};

struct TrainOptions {
  int64_t epochs = 1;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  // Normalisation keeps its running statistics: QAT, where it is folded, has
  // none, and anything else wants them to move.
  bool training_mode = true;
  // Float16 needs it.
  std::optional<GradScalerOptions> loss_scaling;
  // Batches whose gradients are averaged for one step; the last step of an
  // epoch takes what is left.
  int64_t accumulate = 1;
  // The averaged gradient is scaled down to this Euclidean norm. 0: it is not.
  double clip_norm = 0;
  // The model that is measured, and what the run ends with, is
  // average = d average + (1 - d) weights, d = min(ema_decay, (1 + step) / (10
  // + step)), statistics of normalisation included. 0: the weights themselves.
  double ema_decay = 0;
  std::optional<EarlyStopOptions> early_stop;
  DivergenceOptions divergence;
  // Of LibTorch's generators, which kernels and losses may draw from.
  uint64_t seed = 17;
  // Null: this process trains alone. Otherwise the loader gives this rank's
  // part of each batch; gradients, losses and batch statistics are those of the
  // whole batch, and rank 0 decides how to go on. Must outlive the trainer.
  const Collective* collective = nullptr;
  // What the executor was made from, to name layers in errors; may be null.
  // Must outlive the trainer.
  const graph::Graph* graph = nullptr;
};

// Optimizer steps of one epoch.
int64_t StepsPerEpoch(const data::Loader& loader, int64_t accumulate);

// What to do after a step: go on, leave at once so that another run can go on
// from here, or end here as if this had been the last step.
enum class Next { kGoOn, kStop, kFinish };

// Trains an executor's parameters. Not thread-safe. On the CPU, with the same
// number of threads, a run that stops and goes on from State() takes exactly
// the steps of one that does not stop.
class Trainer {
 public:
  // All must outlive the trainer.
  Trainer(runtime::Executor* model, data::Loader* loader, LossFunction loss,
          TrainOptions options);
  ~Trainer();

  // Before each forward pass and after other weights were put in place, e.g. to
  // refresh quantizers; may be empty.
  void BeforeStep(std::function<void()> hook) {
    before_step_ = std::move(hook);
  }
  // How the model is measured; needed for early_stop.
  using Evaluation = std::function<absl::StatusOr<Measurement>()>;
  void EvaluateBy(Evaluation evaluation) {
    evaluation_ = std::move(evaluation);
  }

  // Runs to the end, or until `after_step` says stop (true: at the end, with
  // the best or averaged weights in the model). INVALID_ARGUMENT with the step,
  // the layer and a hint: NAN_LOSS, NAN_GRADIENT, DIVERGED; errors of the
  // loader, the executor and the evaluation.
  absl::StatusOr<bool> Run(
      const std::function<Next(const StepInfo&)>& after_step);

  // Optimizer steps.
  int64_t steps_per_epoch() const;
  int64_t total_steps() const;
  // Steps whose scaled gradients overflowed: they changed nothing.
  int64_t skipped_steps() const { return scaler_ ? scaler_->skipped() : 0; }
  const Position& position() const { return position_; }
  // Nothing improved any more.
  bool stopped_early() const { return early_stop_ && early_stop_->exhausted(); }
  // Parameters, buffers, moments, averages, the best so far, what watches the
  // loss, and LibTorch's generators. Tensors share the trainer's memory.
  TensorMap State() const;
  absl::Status Restore(const Position& position, const TensorMap& state);

 private:
  // Forward and backward; the gradients add up. Returns the loss.
  absl::StatusOr<double> OneBatch(const data::Batch& batch);
  absl::Status LossFailed();
  // All ranks: their mean loss; what rank 0 decides; rank 0's statistics.
  double SharedLoss(double loss) const;
  Next SharedNext(Next next) const;
  void ShareBuffers();
  // The optimizer's part of a step over `batches` batches.
  absl::Status Update(int64_t batches, StepInfo* info);
  absl::StatusOr<StepInfo> OneStep();
  void MoveOn(int64_t batches);
  absl::Status MeasureIfDue(StepInfo* info);
  absl::StatusOr<Measurement> Measure();
  bool Done() const;
  absl::Status Finish();
  void Refresh();
  absl::Status Failed(const char* reason, const std::string& what,
                      const Fault& fault, const std::string& hint) const;

  runtime::Executor* const model_;
  data::Loader* const loader_;
  const LossFunction loss_;
  const TrainOptions options_;
  Optimizer optimizer_;
  std::optional<GradScaler> scaler_;
  WeightCopy average_;
  WeightCopy best_;
  std::optional<EarlyStop> early_stop_;
  DivergenceWatch watch_;
  // Several ranks only.
  std::unique_ptr<GradientBuckets> buckets_;
  runtime::AddUp add_up_;
  std::function<void()> before_step_;
  Evaluation evaluation_;
  Position position_;
  // Of the batch at hand, for errors.
  TrainBatch last_batch_;
  int64_t classes_ = 0;
};

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_TRAINER_H_
