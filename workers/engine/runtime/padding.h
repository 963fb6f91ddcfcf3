#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_PADDING_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_PADDING_H_

#include <torch/torch.h>

#include <vector>

#include "workers/engine/graph/window.h"

namespace condense::runtime {

// The sizes after batch and channels.
std::vector<int64_t> SpatialOf(const torch::Tensor& x);

// LibTorch pads both sides alike: `padding` gets what both sides share, the
// rest is added to x with `value`.
torch::Tensor PadRest(const torch::Tensor& x, const graph::Window& window,
                      std::vector<int64_t>* padding, double value);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_PADDING_H_
