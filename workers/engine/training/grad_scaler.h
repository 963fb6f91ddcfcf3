#ifndef CONDENSE_WORKERS_ENGINE_TRAINING_GRAD_SCALER_H_
#define CONDENSE_WORKERS_ENGINE_TRAINING_GRAD_SCALER_H_

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "workers/engine/runtime/executor.h"

namespace condense::training {

struct GradScalerOptions {
  // All powers of two: scaling then changes no digit of a float32 gradient.
  double scale = 65536;
  double growth = 2;
  double backoff = 0.5;
  // Steps without overflow after which the scale grows.
  int64_t growth_interval = 2000;
};

// Dynamic loss scaling (Micikevicius et al., arXiv:1710.03740, section 3.2):
// the loss is multiplied by a scale so that small gradients do not vanish in
// float16; a step whose gradients overflow is skipped and the scale backs off.
// Not thread-safe.
class GradScaler {
 public:
  explicit GradScaler(GradScalerOptions options = {})
      : options_(options), scale_(options.scale) {}

  torch::Tensor Scale(const torch::Tensor& loss) const { return loss * scale_; }

  // Divides the gradients by the scale and moves the scale on. False: one is
  // not finite, and the step is to be skipped.
  bool Unscale(std::vector<runtime::Parameter>& parameters);

  double scale() const { return scale_; }
  // Steps skipped so far.
  int64_t skipped() const { return skipped_; }

  // For checkpoints, and back (DATA_LOSS with reason CHECKPOINT_CORRUPT).
  std::map<std::string, torch::Tensor> State() const;
  absl::Status Restore(const std::map<std::string, torch::Tensor>& state);

 private:
  const GradScalerOptions options_;
  double scale_;
  // Since the scale changed last.
  int64_t good_steps_ = 0;
  int64_t skipped_ = 0;
};

}  // namespace condense::training

#endif  // CONDENSE_WORKERS_ENGINE_TRAINING_GRAD_SCALER_H_
