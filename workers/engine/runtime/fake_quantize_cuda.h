#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CUDA_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CUDA_H_

// Fake quantization on a GPU without autograd, on the current stream. Built
// where LibTorch has CUDA (CONDENSE_CUDA).

#include "workers/engine/runtime/fake_quantize.h"
#include "workers/engine/runtime/fake_quantize_layout.h"

namespace condense::runtime {

// As FakeQuantizeCpu, all tensors on one GPU. Returns the places where the
// gradient passes, uint8, one per element in x's memory order; undefined unless
// wanted.
torch::Tensor FakeQuantizeCuda(const FakeQuantizeInputs& inputs,
                               const FakeQuantizeOptions& options,
                               const LaidOut& laid, bool want_pass,
                               const torch::Tensor& y);

// out = pass ? grad : 0; both with x's strides, and maybe the same tensor.
void PassGradientCuda(const torch::Tensor& grad, const torch::Tensor& pass,
                      const torch::Tensor& out);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CUDA_H_
