#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CUDA_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CUDA_H_

// Declares what fake_quantize_cuda.cu defines; built where a CUDA LibTorch and
// a CUDA compiler are (CONDENSE_CUDA).

#include "workers/engine/runtime/fake_quantize.h"
#include "workers/engine/runtime/fake_quantize_layout.h"

namespace condense::runtime {

// As FakeQuantize, without autograd: x and addend dense with equal strides.
// `pass` is uint8, one per element in x's memory order; undefined unless
// wanted. Works on the current stream.
Quantized FakeQuantizeCuda(const FakeQuantizeInputs& inputs,
                           const FakeQuantizeOptions& options, bool want_pass);
// pass ? grad : 0, for a dense grad in the same order.
torch::Tensor PassGradientCuda(const torch::Tensor& grad,
                               const torch::Tensor& pass);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CUDA_H_
