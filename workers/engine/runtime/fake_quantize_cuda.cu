// The kernel of fake_quantize_rows.h for CUDA: one read of x forward, which
// also observes and leaves one byte per element; one read of the gradient and
// of the bytes backward. Not run on a GPU yet.

#include <ATen/Dispatch.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <cmath>

#include "workers/engine/runtime/fake_quantize_cuda.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

constexpr int kThreads = 256;

int BlocksFor(int64_t n) {
  const int64_t most =
      8 * at::cuda::getCurrentDeviceProperties()->multiProcessorCount;
  return static_cast<int>(std::min((n + kThreads - 1) / kThreads, most));
}

// Parameters by value: a kernel reads them from constant memory.
struct Parameters {
  FakeQuantizeLayout layout;
  int64_t n;
  float qmin, qmax, clip_low, clip_high;
  Before before;
};

// Which scale element `i` (in memory order) has.
__device__ int64_t ScaleOf(const FakeQuantizeLayout& l, int64_t i) {
  if (l.scale_step == 0 && !l.each) return 0;
  const int64_t group = i / l.group_size, rest = i % l.group_size;
  const int64_t in_group = rest / l.step;
  const int64_t row =
      (group * l.scale_group + in_group / l.scale_every) * l.scale_step;
  return l.each ? row + rest % l.step : row;
}

// Floats in the order of their bits as signed integers, for atomicMin and Max.
__device__ void AtomicMin(float* at, float value) {
  if (value >= 0) {
    atomicMin(reinterpret_cast<int*>(at), __float_as_int(value));
  } else {
    atomicMax(reinterpret_cast<unsigned*>(at), __float_as_uint(value));
  }
}
__device__ void AtomicMax(float* at, float value) {
  if (value >= 0) {
    atomicMax(reinterpret_cast<int*>(at), __float_as_int(value));
  } else {
    atomicMin(reinterpret_cast<unsigned*>(at), __float_as_uint(value));
  }
}

// The extremes of a block of threads, into `seen`.
__device__ void Observe(float low, float high, float* seen) {
  for (int offset = 16; offset > 0; offset /= 2) {
    low = fminf(low, __shfl_down_sync(0xffffffff, low, offset));
    high = fmaxf(high, __shfl_down_sync(0xffffffff, high, offset));
  }
  if (threadIdx.x % 32 != 0) return;
  AtomicMin(seen, low);
  AtomicMax(seen + 1, high);
}

template <typename T>
__global__ void Quantize(Parameters p, const T* x, const T* addend,
                         const float* scale, const float* zero_point, T* y,
                         uint8_t* pass, float* seen) {
  float low = INFINITY, high = -INFINITY;
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < p.n;
       i += int64_t{gridDim.x} * blockDim.x) {
    float v = static_cast<float>(x[i]);
    if (addend != nullptr) v += static_cast<float>(addend[i]);
    bool passes = true;
    // Comparisons, not fmin and fmax, which would lose NaN.
    if (p.before == Before::kRelu) {
      passes = v > 0;
      v = v < 0 ? 0 : v;
    } else if (p.before == Before::kClip) {
      passes = v >= p.clip_low && v <= p.clip_high;
      v = v < p.clip_low ? p.clip_low : v > p.clip_high ? p.clip_high : v;
    }
    low = v < low ? v : low;
    high = v > high ? v : high;
    const int64_t at = ScaleOf(p.layout, i);
    const float s = scale[at], z = zero_point[at];
    // IEEE division and no contraction: bit-equal to the CPU.
    float level = __fadd_rn(rintf(__fdiv_rn(v, s)), z);
    passes = passes && level >= p.qmin && level <= p.qmax;
    level = level < p.qmin ? p.qmin : level > p.qmax ? p.qmax : level;
    y[i] = static_cast<T>(__fmul_rn(__fsub_rn(level, z), s));
    if (pass != nullptr) pass[i] = passes;
  }
  if (seen != nullptr) Observe(low, high, seen);
}

template <typename T>
__global__ void Pass(int64_t n, const T* grad, const uint8_t* pass, T* out) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n;
       i += int64_t{gridDim.x} * blockDim.x) {
    out[i] = pass[i] ? grad[i] : static_cast<T>(0.0f);
  }
}

}  // namespace

Quantized FakeQuantizeCuda(const FakeQuantizeInputs& inputs,
                           const FakeQuantizeOptions& options, bool want_pass) {
  const c10::cuda::CUDAGuard guard(inputs.x.device());
  const Tensor& x = inputs.x;
  const LaidOut laid = LayOut(x, inputs.scale, inputs.zero_point, options.axis,
                              options.block);
  Quantized out;
  out.y = options.in_place
              ? x
              : at::empty_strided(x.sizes(), x.strides(), x.options());
  if (want_pass) {
    out.pass = at::empty({x.numel()}, x.options().dtype(torch::kUInt8));
  }
  if (x.numel() == 0) return out;
  const Parameters p{laid.layout,
                     x.numel(),
                     static_cast<float>(options.qmin),
                     static_cast<float>(options.qmax),
                     options.clip_low,
                     options.clip_high,
                     options.before};
  AT_DISPATCH_FLOATING_TYPES_AND(
      at::kBFloat16, x.scalar_type(), "fake_quantize", [&] {
        Quantize<scalar_t><<<BlocksFor(p.n), kThreads, 0,
                             at::cuda::getCurrentCUDAStream()>>>(
            p, x.data_ptr<scalar_t>(),
            inputs.addend.defined() ? inputs.addend.data_ptr<scalar_t>()
                                    : nullptr,
            laid.scale.data_ptr<float>(), laid.zero_point.data_ptr<float>(),
            out.y.data_ptr<scalar_t>(),
            want_pass ? out.pass.data_ptr<uint8_t>() : nullptr,
            inputs.seen.defined() ? inputs.seen.data_ptr<float>() : nullptr);
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

Tensor PassGradientCuda(const Tensor& grad, const Tensor& pass) {
  const c10::cuda::CUDAGuard guard(grad.device());
  Tensor out =
      at::empty_strided(grad.sizes(), grad.strides(), grad.options());
  if (grad.numel() == 0) return out;
  AT_DISPATCH_FLOATING_TYPES_AND(
      at::kBFloat16, grad.scalar_type(), "fake_quantize_backward", [&] {
        Pass<scalar_t><<<BlocksFor(grad.numel()), kThreads, 0,
                         at::cuda::getCurrentCUDAStream()>>>(
            grad.numel(), grad.data_ptr<scalar_t>(), pass.data_ptr<uint8_t>(),
            out.data_ptr<scalar_t>());
      });
  C10_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

}  // namespace condense::runtime
