#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LAYOUT_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LAYOUT_H_

#include <torch/torch.h>

#include "workers/engine/runtime/fake_quantize.h"

namespace condense::runtime {

// The layout of `x`, which is dense (channels_last is), and scale and zero
// point as float in the order that it reads them.
struct LaidOut {
  FakeQuantizeLayout layout;
  torch::Tensor scale;
  torch::Tensor zero_point;
};
LaidOut LayOut(const torch::Tensor& x, const torch::Tensor& scale,
               const torch::Tensor& zero_point, int64_t axis, int64_t block);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_LAYOUT_H_
