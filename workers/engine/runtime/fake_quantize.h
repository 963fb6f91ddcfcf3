#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_H_

#include <torch/torch.h>

#include "workers/engine/runtime/fake_quantize_rows.h"
#include "workers/engine/runtime/weight_projection.h"

namespace condense::runtime {

struct FakeQuantizeOptions {
  int64_t qmin = 0;
  int64_t qmax = 255;
  // The dimension that scales lie along. Not read for a single scale.
  int64_t axis = -1;
  // Above 0: that many elements along `axis` share a scale (ONNX opset 21).
  int64_t block = 0;
  // Computed first, in the same pass over the tensor.
  Before before = Before::kNothing;
  float clip_low = 0;
  float clip_high = 0;
  // The result takes the place of x where x is dense. Only for an x that
  // nothing else reads, its own backward pass included.
  bool in_place = false;
};

struct FakeQuantizeInputs {
  // float32 or bfloat16 (computed in float32), any shape and memory format.
  torch::Tensor x;
  // float32: [], [C] along the axis, or with `block` x's shape with
  // ceil(n / block) for n along the axis.
  torch::Tensor scale;
  // int32, as scale.
  torch::Tensor zero_point;
  // x + addend is quantized. Optional; broadcasts to x.
  torch::Tensor addend;
  // float32 [2], {smallest, largest}: widened in place by what enters the
  // quantizer, NaN passed over. Optional; not differentiable.
  torch::Tensor seen;
};

// y = (clip(round_half_even(v / scale) + zero_point, qmin, qmax) - zero_point)
//     * scale, v = before(x + addend): bit-equal to those operators followed by
// ONNX's QuantizeLinear and DequantizeLinear. Infinities saturate; NaN stays
// NaN. The gradient is the straight-through one of Bengio et al.,
// arXiv:1308.3432: that of v where v was not clipped, zero elsewhere (and where
// v is NaN). No gradient flows to scale and zero_point.
//
// One kernel of ours for the CPU (fake_quantize_rows.h): one read of x forward,
// which also observes and leaves one bit per element for one read of the
// gradient backward; threads by at::parallel_for. Another for CUDA
// (fake_quantize_cuda.h), where the compiler for it is there; else LibTorch's
// operators.
torch::Tensor FakeQuantize(const FakeQuantizeInputs& inputs,
                           const FakeQuantizeOptions& options);

// The same without anything before it.
inline torch::Tensor FakeQuantize(const torch::Tensor& x,
                                  const torch::Tensor& scale,
                                  const torch::Tensor& zero_point, int64_t axis,
                                  int64_t qmin, int64_t qmax) {
  return FakeQuantize({x, scale, zero_point},
                      {.qmin = qmin, .qmax = qmax, .axis = axis});
}

// Symmetric quantization of a weight on the grid that it gives itself: writes
// the scale (of the tensor, or per channel along `options.axis`) and quantizes,
// in one pass over memory for kMaxAbs along the first axis. The gradient is the
// identity. On a GPU's tensors the work is done on the CPU.
torch::Tensor FakeQuantizeWeight(const torch::Tensor& w,
                                 const torch::Tensor& scale,
                                 const FakeQuantizeOptions& options,
                                 Projection projection);

// before(x + addend), differentiable; addend may be undefined.
torch::Tensor BeforeQuantizer(const torch::Tensor& x,
                              const torch::Tensor& addend,
                              const FakeQuantizeOptions& options);

// FakeQuantize by LibTorch's operators, on any device, without autograd: what
// runs where no kernel of ours does, and what they are tested against.
struct Quantized {
  torch::Tensor y;
  // bool, where the gradient passes.
  torch::Tensor pass;
};
Quantized FakeQuantizeByOperators(const FakeQuantizeInputs& inputs,
                                  const FakeQuantizeOptions& options);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_H_
