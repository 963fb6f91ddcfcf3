#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_SYNC_BATCH_NORM_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_SYNC_BATCH_NORM_H_

#include <torch/torch.h>

#include <functional>

namespace condense::runtime {

// Replaces a tensor by its sum over the ranks of a data-parallel run.
using AddUp = std::function<void(const torch::Tensor&)>;

// While it lives, BatchNormalization that this thread runs in training mode
// takes its statistics from all ranks.
class SyncStatistics {
 public:
  // `add_up` must outlive the scope and the backward passes of what is computed
  // in it; null: nothing changes.
  explicit SyncStatistics(const AddUp* add_up);
  ~SyncStatistics();
  SyncStatistics(const SyncStatistics&) = delete;

  // Of the innermost scope of this thread; null outside of any.
  static const AddUp* Current();

 private:
  const AddUp* const outer_;
};

// Batch normalisation in training with the statistics of the batches of all
// ranks together: what one process computes on the whole batch.
//
// x: [N, C, ...]; scale, shift, running_mean, running_var: [C]; `momentum`
// weighs the new statistics. `add_up` is called once in the forward and once in
// the backward pass, with a float64 tensor.
torch::Tensor SyncBatchNorm(const torch::Tensor& x, const torch::Tensor& scale,
                            const torch::Tensor& shift,
                            torch::Tensor running_mean,
                            torch::Tensor running_var, double momentum,
                            double epsilon, const AddUp& add_up);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_SYNC_BATCH_NORM_H_
