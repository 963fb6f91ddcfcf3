#ifndef CONDENSE_WORKERS_ENGINE_DISTILLATION_SOFT_RESPONSE_H_
#define CONDENSE_WORKERS_ENGINE_DISTILLATION_SOFT_RESPONSE_H_

#include <torch/torch.h>

namespace condense::distillation {

struct SoftResponseOptions {
  double temperature = 4;
  // Weight of the teacher; the labels get the rest.
  double lambda = 0.9;
  // Of the labels' part, as training::CrossEntropy has it.
  double label_smoothing = 0;
};

// Hinton et al., arXiv:1503.02531:
//   lambda T^2 KL(softmax(teacher / T) || softmax(student / T))
//   + (1 - lambda) CE(student, labels),
// both averaged over the batch. student, teacher: [n, classes]; labels: [n] of
// int64. No gradient flows to the teacher.
torch::Tensor SoftResponseLoss(const torch::Tensor& student,
                               const torch::Tensor& teacher,
                               const torch::Tensor& labels,
                               const SoftResponseOptions& options);

}  // namespace condense::distillation

#endif  // CONDENSE_WORKERS_ENGINE_DISTILLATION_SOFT_RESPONSE_H_
