#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_TRAINER_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_TRAINER_H_

#include <torch/torch.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/grad_scaler.h"
#include "workers/engine/training/optimizer.h"

namespace condense::training {

enum class Schedule { kConstant, kCosine };

// lr/2 (1 + cos(pi step / total)) (arXiv:1608.03983), or lr.
double LearningRate(Schedule schedule, double lr, int64_t step, int64_t total);

// A batch as tensors.
struct TrainBatch {
  torch::Tensor x;
  // [n] of int64.
  torch::Tensor labels;
  // As data::Batch has them; undefined without mixup.
  torch::Tensor mixed_labels;
  double lambda = 1;
};
TrainBatch ToTensors(const data::Batch& batch, const torch::Device& device);

// A scalar from the model's outputs.
using LossFunction = std::function<torch::Tensor(
    const TrainBatch& batch, const std::vector<torch::Tensor>& outputs)>;

// A loss of labels, which mixup takes apart:
// lambda loss(labels) + (1 - lambda) loss(mixed_labels).
torch::Tensor OverLabels(
    const TrainBatch& batch,
    const std::function<torch::Tensor(const torch::Tensor& labels)>& loss);

// Mean cross-entropy of the first output.
torch::Tensor CrossEntropyLoss(const TrainBatch& batch,
                               const std::vector<torch::Tensor>& outputs);

// Where a run stands: all that the next step depends on, but for weights and
// moments.
struct Position {
  int64_t epoch = 0;
  // Of the epoch.
  int64_t batch = 0;
  // Of the stage, from 0.
  int64_t step = 0;
};

struct StepInfo {
  Position next;
  int64_t total_steps = 0;
  double loss = 0;
  double lr = 0;
  double seconds = 0;
  int64_t samples = 0;
  double data_wait_seconds = 0;
};

struct TrainOptions {
  int64_t epochs = 1;
  OptimizerOptions optimizer;
  Schedule schedule = Schedule::kCosine;
  // Normalisation keeps its running statistics: QAT, where it is folded, has
  // none, and anything else wants them to move.
  bool training_mode = true;
  // Float16 needs it.
  std::optional<GradScalerOptions> loss_scaling;
};

// What to do after a step.
enum class Next { kGoOn, kStop };

// Trains an executor's parameters. Not thread-safe. On the CPU, with the same
// number of threads, a run that stops and goes on from State() takes exactly
// the steps of one that does not stop.
class Trainer {
 public:
  // All must outlive the trainer.
  Trainer(runtime::Executor* model, data::Loader* loader, LossFunction loss,
          TrainOptions options);

  // Before each forward pass, e.g. to refresh quantizers; may be empty.
  void BeforeStep(std::function<void()> hook) {
    before_step_ = std::move(hook);
  }

  // Runs to the end, or until `after_step` says stop (true: at the end).
  // INVALID_ARGUMENT with reason NAN_LOSS and the step where the loss stopped
  // being finite; errors of the loader and the executor.
  absl::StatusOr<bool> Run(
      const std::function<Next(const StepInfo&)>& after_step);

  int64_t total_steps() const;
  // Steps whose scaled gradients overflowed: they changed nothing.
  int64_t skipped_steps() const { return scaler_ ? scaler_->skipped() : 0; }
  const Position& position() const { return position_; }
  // Parameters, buffers and moments.
  std::map<std::string, torch::Tensor> State() const;
  absl::Status Restore(const Position& position,
                       const std::map<std::string, torch::Tensor>& state);

 private:
  absl::StatusOr<double> OneStep(const data::Batch& batch, double lr);

  runtime::Executor* const model_;
  data::Loader* const loader_;
  const LossFunction loss_;
  const TrainOptions options_;
  Optimizer optimizer_;
  std::optional<GradScaler> scaler_;
  std::function<void()> before_step_;
  Position position_;
};

// Shares in [0, 1], and the mean cross-entropy.
struct Accuracy {
  double top1 = 0;
  double top5 = 0;
  double loss = 0;
  int64_t samples = 0;
};

// Runs the model over one epoch of the loader. `each`, if given, sees every
// batch and its outputs.
absl::StatusOr<Accuracy> Evaluate(
    runtime::Executor* model, data::Loader* loader,
    const std::function<absl::Status(const data::Batch&,
                                     const std::vector<torch::Tensor>&)>& each =
        nullptr);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_TRAINER_H_
