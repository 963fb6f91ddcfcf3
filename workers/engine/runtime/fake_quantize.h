#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_H_

#include <torch/torch.h>

namespace condense::runtime {

// y = (clip(round_half_even(x / scale) + zero_point, qmin, qmax) - zero_point)
//     * scale, with the straight-through gradient of Bengio et al.,
// arXiv:1308.3432: that of y where x was not clipped, zero elsewhere.
//
// x: float32 of any shape. scale: float32, zero_point: int32, both [] or [C]
// along `axis` (-1: per tensor). No gradient flows to scale and zero_point.
torch::Tensor FakeQuantize(const torch::Tensor& x, const torch::Tensor& scale,
                           const torch::Tensor& zero_point, int64_t axis,
                           int64_t qmin, int64_t qmax);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_H_
