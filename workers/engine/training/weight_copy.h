#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_WEIGHT_COPY_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_WEIGHT_COPY_H_

#include <torch/torch.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "workers/engine/runtime/executor.h"

namespace condense::training {

using TensorMap = std::map<std::string, torch::Tensor>;

// All tensors that make the model a function, by "parameter/NAME" and
// "buffer/NAME"; they share the executor's memory.
TensorMap ModelTensors(runtime::Executor* model);

// Copies state[prefix + key] into the tensor of each key. DATA_LOSS with reason
// CHECKPOINT_CORRUPT where one is missing or has another shape.
absl::Status CopyInto(const TensorMap& state, const std::string& prefix,
                      const TensorMap& tensors);

// A second set of an executor's parameters and buffers: the best so far, or a
// moving average. Empty until Take. Not thread-safe.
class WeightCopy {
 public:
  // `model` must outlive the copy.
  explicit WeightCopy(runtime::Executor* model) : model_(*model) {}

  bool empty() const { return copies_.empty(); }
  // The model's weights now.
  void Take();
  // Moves floats towards the model's: copy += (1 - decay) (model - copy); takes
  // integers as they are.
  void Average(double decay);
  // The model's weights become these.
  void Give();
  void Exchange();

  // By `prefix` + key; nothing while empty. Restore empties a copy that the
  // state does not have.
  void AddTo(const std::string& prefix, TensorMap* state) const;
  absl::Status Restore(const std::string& prefix, const TensorMap& state);

 private:
  runtime::Executor& model_;
  TensorMap copies_;
};

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_WEIGHT_COPY_H_
