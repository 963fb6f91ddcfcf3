#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_WEIGHT_GRID_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_WEIGHT_GRID_H_

#include <torch/torch.h>

#include "workers/engine/runtime/fake_quantize.h"

namespace condense::runtime {

// Scale (float32) and zero point (int32) in the shape that FakeQuantizeInputs
// asks for.
struct FittedGrid {
  torch::Tensor scale;
  torch::Tensor zero_point;
};

// The narrowest grid that holds the weight `w` (float32), for each tensor,
// channel or block as `options` has axis and block. With qmin < 0 it is
// symmetric: s = max |w| / qmax, z = 0. Else it is affine over [low, high], the
// weight's range widened to contain 0:
//   s = (high - low) / (qmax - qmin), z = clip(round(qmin - low / s)).
// What holds nothing but zeros has a positive scale. No gradient.
FittedGrid FitGrid(const torch::Tensor& w, const FakeQuantizeOptions& options);

// Scale or zero point so that it broadcasts with `x`, of which it has one per
// tensor, channel or block.
torch::Tensor SpreadGrid(const torch::Tensor& value, const torch::Tensor& x,
                         const FakeQuantizeOptions& options);

// A weight as [dims[0], the rest]: what a quantizer with attribute `rows` sees,
// whose blocks then run over all that an output channel reads.
torch::Tensor AsRows(const torch::Tensor& w);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_WEIGHT_GRID_H_
