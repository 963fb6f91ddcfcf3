#include "workers/engine/runtime/fake_quantize_cuda.h"

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "workers/engine/runtime/fake_quantize_kernels.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

// The memory of `tensor`, null if undefined. A pointer to another device's
// memory would end the process.
template <typename T>
T* On(const torch::Device& device, const Tensor& tensor) {
  if (!tensor.defined()) return nullptr;
  TORCH_CHECK(tensor.device() == device, "a quantizer of a tensor on ", device,
              " has one on ", tensor.device());
  return static_cast<T*>(tensor.data_ptr());
}

template <typename T>
void Quantize(const FakeQuantizeInputs& inputs,
              const FakeQuantizeOptions& options, const LaidOut& laid,
              const Tensor& pass, const Tensor& y) {
  const torch::Device device = inputs.x.device();
  FakeQuantizeElements<T> elements;
  elements.x = On<T>(device, inputs.x);
  elements.addend = On<T>(device, inputs.addend);
  elements.y = On<T>(device, y);
  elements.n = inputs.x.numel();
  elements.layout = laid.layout;
  elements.scale = On<float>(device, laid.scale);
  elements.zero_point = On<float>(device, laid.zero_point);
  elements.qmin = static_cast<float>(options.qmin);
  elements.qmax = static_cast<float>(options.qmax);
  elements.before = options.before;
  elements.clip_low = options.clip_low;
  elements.clip_high = options.clip_high;
  elements.pass = On<uint8_t>(device, pass);
  C10_CUDA_CHECK(LaunchFakeQuantize(elements, On<float>(device, inputs.seen),
                                    c10::cuda::getCurrentCUDAStream()));
}

template <typename T>
void PassGradient(const Tensor& grad, const Tensor& pass, const Tensor& out) {
  const torch::Device device = grad.device();
  C10_CUDA_CHECK(LaunchPass<T>(On<T>(device, grad), On<uint8_t>(device, pass),
                               On<T>(device, out), grad.numel(),
                               c10::cuda::getCurrentCUDAStream()));
}

bool IsBf16(const Tensor& x) { return x.scalar_type() == torch::kBFloat16; }

}  // namespace

Tensor FakeQuantizeCuda(const FakeQuantizeInputs& inputs,
                        const FakeQuantizeOptions& options, const LaidOut& laid,
                        bool want_pass, const Tensor& y) {
  const c10::cuda::CUDAGuard guard(inputs.x.device());
  Tensor pass;
  if (want_pass) {
    pass =
        at::empty({inputs.x.numel()}, inputs.x.options().dtype(torch::kUInt8));
  }
  if (inputs.x.numel() == 0) return pass;
  IsBf16(inputs.x) ? Quantize<__nv_bfloat16>(inputs, options, laid, pass, y)
                   : Quantize<float>(inputs, options, laid, pass, y);
  return pass;
}

void PassGradientCuda(const Tensor& grad, const Tensor& pass,
                      const Tensor& out) {
  const c10::cuda::CUDAGuard guard(grad.device());
  if (grad.numel() == 0) return;
  IsBf16(grad) ? PassGradient<__nv_bfloat16>(grad, pass, out)
               : PassGradient<float>(grad, pass, out);
}

}  // namespace condense::runtime
