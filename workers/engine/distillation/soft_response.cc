#include "workers/engine/distillation/soft_response.h"

#include "workers/engine/training/evaluate.h"

namespace condense::distillation {

torch::Tensor SoftResponseLoss(const torch::Tensor& student,
                               const torch::Tensor& teacher,
                               const torch::Tensor& labels,
                               const SoftResponseOptions& options) {
  const double t = options.temperature;
  const torch::Tensor log_p = at::log_softmax(student / t, 1);
  const torch::Tensor log_q = at::log_softmax(teacher.detach() / t, 1);
  const torch::Tensor divergence =
      (log_q.exp() * (log_q - log_p)).sum(1).mean();
  torch::Tensor loss = divergence * (options.lambda * t * t);
  if (options.lambda < 1) {
    loss = loss +
           (1 - options.lambda) *
               training::CrossEntropy(student, labels, options.label_smoothing);
  }
  return loss;
}

}  // namespace condense::distillation
