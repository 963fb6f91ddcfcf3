#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_CLAMP_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_CLAMP_H_

#include <torch/torch.h>

namespace condense::runtime {

// min(max(x, low), high) for float tensors; the gradient passes strictly
// between the bounds. Keeps its result alone for the backward pass, so that
// `in_place` (over x) keeps nothing at all. LibTorch 1.13's hardtanh has no
// backward for bfloat16 on the CPU; this has.
torch::Tensor Clamp(const torch::Tensor& x, double low, double high,
                    bool in_place);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_CLAMP_H_
