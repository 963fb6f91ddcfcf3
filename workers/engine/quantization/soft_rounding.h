#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_SOFT_ROUNDING_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_SOFT_ROUNDING_H_

#include <torch/torch.h>

#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {

// Rounding up or down as something that a gradient can decide on: AdaRound,
// Nagel et al., arXiv:2004.10568. A weight w at scale s becomes
//   s clip(floor(w / s) + h(V)),  h(V) = clip(1.2 sigmoid(V) - 0.1, 0, 1).
class SoftRounding {
 public:
  // weight: float32. scale: float32 that broadcasts to it. V begins where h(V)
  // is the fraction of w / s: nothing is rounded yet.
  SoftRounding(const torch::Tensor& weight, const torch::Tensor& scale,
               Levels levels);

  // What is trained: V, of the weight's shape.
  torch::Tensor& variable() { return variable_; }
  // The weight as it is now; differentiable by V.
  torch::Tensor Soft() const;
  // Rounded by h(V) >= 1/2.
  torch::Tensor Hard() const;
  // sum(1 - |2 h(V) - 1|^beta): pushes every h(V) to 0 or 1; beta falls from 20
  // to 2 during training.
  torch::Tensor Regularizer(double beta) const;

 private:
  torch::Tensor Share() const;

  const torch::Tensor scale_;
  const torch::Tensor floor_;
  const Levels levels_;
  torch::Tensor variable_;
};

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_SOFT_ROUNDING_H_
