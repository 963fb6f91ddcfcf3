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
  enum class Kind { kSgd, kAdam, kAdamW };
  Kind kind = Kind::kSgd;
  double lr = 0.01;
  double momentum = 0.9;
  bool nesterov = false;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  // Of weights alone: biases, normalisation and quantizers are left. Added to
  // the gradient (L2); kAdamW: w -= lr * weight_decay * w.
  double weight_decay = 0;
  // False: tensor operations for all parameters at once, as on a GPU, instead
  // of one loop of ours over each parameter on the CPU.
  bool fused = true;
};

// SGD with momentum as PyTorch defines it (v = m v + g; w -= lr v), Adam
// (Kingma and Ba, arXiv:1412.6980, algorithm 1) or AdamW (Loshchilov and
// Hutter, arXiv:1711.05101, algorithm 2). Not thread-safe.
class Optimizer {
 public:
  // Keeps references to the parameters' tensors.
  Optimizer(std::vector<runtime::Parameter> parameters,
            OptimizerOptions options);

  void ZeroGrad();
  // Euclidean norm of all gradients as they are; the same whatever the number
  // of threads. Not finite if any of them is not.
  double GradientNorm() const;
  // The first parameter whose gradient is not finite; "" if all are.
  std::string FirstBadGradient() const;
  // One step at this learning rate with `grad_scale` times the gradients.
  // Parameters without gradient are skipped.
  void Step(double lr, double grad_scale = 1);

  // Moments by "<moment>/<parameter name>", for checkpoints, and back.
  std::map<std::string, torch::Tensor> State() const;
  absl::Status Restore(const std::map<std::string, torch::Tensor>& state);

 private:
  // What one step does to all parameters alike.
  struct Rates;
  Rates RatesOf(double lr, double grad_scale) const;
  void MakeMoments(size_t i);
  // One pass over each parameter's memory, cut into pieces for the threads.
  void FusedStep(const Rates& rates, const std::vector<size_t>& which);
  // LibTorch's multi-tensor operations: few launches on a GPU.
  void ForeachStep(const Rates& rates, const std::vector<size_t>& which);
  double DecayOf(size_t i) const;

  std::vector<runtime::Parameter> parameters_;
  const OptimizerOptions options_;
  int64_t steps_ = 0;
  // Undefined until the first step.
  std::vector<torch::Tensor> first_;
  std::vector<torch::Tensor> second_;
};

// Calls `work(i, begin, end)` for pieces of arrays of these lengths on the
// intra-op threads; pieces do not depend on the number of threads.
void ForPieces(const std::vector<int64_t>& lengths,
               const std::function<void(size_t, int64_t, int64_t)>& work);

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_OPTIMIZER_H_
