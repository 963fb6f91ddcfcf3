#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_EVALUATE_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_EVALUATE_H_

#include <torch/torch.h>

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/training/measurement.h"

namespace condense::training {

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

// A loss of labels, which mixup takes apart:
// lambda loss(labels) + (1 - lambda) loss(mixed_labels).
torch::Tensor OverLabels(
    const TrainBatch& batch,
    const std::function<torch::Tensor(const torch::Tensor& labels)>& loss);

// Mean over the batch of (1 - smoothing) times the cross-entropy with the
// labels plus smoothing times that with the uniform distribution (Szegedy et
// al., arXiv:1512.00567). logits: [n, classes]; labels: [n] of int64.
torch::Tensor CrossEntropy(const torch::Tensor& logits,
                           const torch::Tensor& labels, double smoothing = 0);
// With the labels of a batch, mixed or not.
torch::Tensor CrossEntropy(const TrainBatch& batch, const torch::Tensor& logits,
                           double smoothing = 0);

// Runs the model over one epoch of the loader; `each` sees every batch and its
// outputs, and ends the run by an error. The model is left out of training
// mode.
absl::Status RunEpoch(
    runtime::Executor* model, data::Loader* loader,
    const std::function<absl::Status(const data::Batch&,
                                     const std::vector<torch::Tensor>&)>& each);

// Of hits among `samples` samples and the sum of their losses: "top1" (what
// counts), "top5" and the mean "loss"; 0 each where there are no samples.
Measurement ClassificationOf(double hits, double hits5, double loss,
                             int64_t samples);

// The model's first outputs as classes, over one epoch of the loader. `each`,
// if given, is as that of RunEpoch.
absl::StatusOr<Measurement> Evaluate(
    runtime::Executor* model, data::Loader* loader,
    const std::function<absl::Status(const data::Batch&,
                                     const std::vector<torch::Tensor>&)>& each =
        nullptr);

// An exception of LibTorch: RESOURCE_EXHAUSTED with reason OUT_OF_MEMORY,
// UNAVAILABLE with reason RANK_LOST, or INTERNAL with reason RUNTIME_ERROR.
absl::Status RuntimeError(const std::exception& error);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_EVALUATE_H_
