#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_LEARNED_STEP_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_LEARNED_STEP_H_

#include <torch/torch.h>

#include "workers/engine/runtime/fake_quantize.h"

namespace condense::runtime {

enum class LearnedStep {
  // Esser et al., arXiv:1902.08153. The scale's gradient is that of y with the
  // rounding error held: (round(x / s) - x / s) inside, the end's level
  // outside; times 1 / sqrt(N qmax), N elements per scale.
  kLsq,
  // Choi et al., arXiv:1805.06085: only what is clipped from above moves the
  // upper end alpha = (qmax - zero_point) * s: dL/dalpha = sum of the gradient
  // there. The scale gets dL/dalpha / (qmax - zero_point), so that a step of
  // size lr on s moves alpha by lr dL/dalpha.
  kPact,
};

// FakeQuantize whose scale is learnt; `before` and `in_place` of the options
// are not read. scale: [] or [C] along options.axis, with a gradient; what is
// below 1e-8 counts as that.
torch::Tensor LearnedFakeQuantize(const torch::Tensor& x,
                                  const torch::Tensor& scale,
                                  const torch::Tensor& zero_point,
                                  const FakeQuantizeOptions& options,
                                  LearnedStep step);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_LEARNED_STEP_H_
