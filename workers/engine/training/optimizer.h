#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_OPTIMIZER_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_OPTIMIZER_H_

#include <torch/torch.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "workers/engine/runtime/executor.h"

namespace condense::training {

struct OptimizerOptions {
  enum class Kind { kSgd, kAdam };
  Kind kind = Kind::kSgd;
  double lr = 0.01;
  double momentum = 0.9;
  bool nesterov = false;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  // Added to the gradient of weights (L2); biases and normalisation are left.
  double weight_decay = 0;
};

// SGD with momentum as PyTorch defines it (v = m v + g; w -= lr v), or Adam
// (Kingma and Ba, arXiv:1412.6980, algorithm 1). Not thread-safe.
class Optimizer {
 public:
  // Keeps references to the parameters' tensors.
  Optimizer(std::vector<runtime::Parameter> parameters,
            OptimizerOptions options);

  void ZeroGrad();
  // One step at this learning rate. Parameters without gradient are skipped.
  void Step(double lr);

  // Moments by "<moment>/<parameter name>", for checkpoints, and back.
  std::map<std::string, torch::Tensor> State() const;
  absl::Status Restore(const std::map<std::string, torch::Tensor>& state);

 private:
  void SgdStep(double lr, const torch::Tensor& grad, size_t i);
  void AdamStep(double lr, const torch::Tensor& grad, size_t i);

  std::vector<runtime::Parameter> parameters_;
  const OptimizerOptions options_;
  int64_t steps_ = 0;
  // Undefined until the first step.
  std::vector<torch::Tensor> first_;
  std::vector<torch::Tensor> second_;
};

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_OPTIMIZER_H_
