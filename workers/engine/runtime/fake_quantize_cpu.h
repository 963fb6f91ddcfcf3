#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CPU_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CPU_H_

// Fake quantization on the CPU without autograd: rows over threads.

#include "workers/engine/runtime/fake_quantize.h"
#include "workers/engine/runtime/fake_quantize_layout.h"

namespace condense::runtime {

// Writes the result to `y`, which is x or a tensor with x's strides. x and
// addend are dense with equal strides. Returns the bits where the gradient
// passes, int16 [rows, words of a row]; undefined unless wanted.
torch::Tensor FakeQuantizeCpu(const FakeQuantizeInputs& inputs,
                              const FakeQuantizeOptions& options,
                              const LaidOut& laid, bool want_pass,
                              const torch::Tensor& y);

// out = pass ? grad : 0; both with x's strides, and maybe the same tensor.
void PassGradientCpu(const torch::Tensor& grad, const torch::Tensor& pass,
                     const FakeQuantizeLayout& layout,
                     const torch::Tensor& out);

// As FakeQuantizeWeight, for contiguous float32.
void ProjectWeightCpu(const torch::Tensor& w, const torch::Tensor& scale,
                      const FakeQuantizeOptions& options, Projection projection,
                      const torch::Tensor& y);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_CPU_H_
