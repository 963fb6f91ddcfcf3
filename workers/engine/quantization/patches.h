#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_PATCHES_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_PATCHES_H_

#include <torch/torch.h>

#include <cstdint>

#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/weight_view.h"

namespace condense::quantization {

// What a layer multiplies its weights with, at output positions drawn evenly by
// the seed: [groups, rows, inputs * kernel], float32 on the CPU, in the order
// of WeightView. x: the layer's input; Conv [N, C, spatial...], else [..., C].
// At most `rows_max` rows; all positions, in order, where there are no more.
torch::Tensor SamplePatches(const torch::Tensor& x, const graph::Node& node,
                            const WeightView& view, int64_t rows_max,
                            uint64_t seed);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_PATCHES_H_
