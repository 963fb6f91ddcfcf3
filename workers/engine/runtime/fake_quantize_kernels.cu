// Fake quantization on GPUs: one read of x forward, which also observes and
// leaves one byte per element; one read of the gradient and of the bytes
// backward. Not run on a GPU yet; fake_quantize_element.h is, on the CPU.

#include <cuda_bf16.h>

#include <algorithm>

#include "workers/engine/runtime/fake_quantize_kernels.h"

namespace condense::runtime {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kBlocksPerProcessor = 8;

// Threads go through the elements in strides of the whole grid.
int BlocksFor(int64_t n) {
  int device = 0, processors = 1;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  const int64_t most = int64_t{kBlocksPerProcessor} * processors;
  return static_cast<int>(std::min((n + kThreads - 1) / kThreads, most));
}

__device__ int64_t First() {
  return blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x;
}
__device__ int64_t Stride() {
  return gridDim.x * static_cast<int64_t>(blockDim.x);
}

// Stores `value` where it precedes *at; mostly only reads.
template <typename Precedes>
__device__ void AtomicReplace(float* at, float value, Precedes precedes) {
  int* bits = reinterpret_cast<int*>(at);
  int old = *static_cast<volatile int*>(bits);
  while (precedes(value, __int_as_float(old))) {
    const int found = atomicCAS(bits, old, __float_as_int(value));
    if (found == old) return;
    old = found;
  }
}

// The extremes of each warp, into `seen`. All threads of the warp call it.
__device__ void Observe(float low, float high, float* seen) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    low = fminf(low, __shfl_down_sync(0xffffffff, low, offset));
    high = fmaxf(high, __shfl_down_sync(0xffffffff, high, offset));
  }
  if (threadIdx.x % kWarp != 0) return;
  AtomicReplace(seen, low, [](float a, float b) { return a < b; });
  AtomicReplace(seen + 1, high, [](float a, float b) { return a > b; });
}

// The parameters come by value: a kernel reads them from constant memory.
template <typename T>
__global__ void Quantize(FakeQuantizeElements<T> elements, float* seen) {
  float low = INFINITY, high = -INFINITY;
  for (int64_t i = First(); i < elements.n; i += Stride()) {
    Widen(elements.Quantize(i), &low, &high);
  }
  if (seen != nullptr) Observe(low, high, seen);
}

template <typename T>
__global__ void Pass(const T* grad, const uint8_t* pass, T* out, int64_t n) {
  for (int64_t i = First(); i < n; i += Stride()) {
    out[i] = pass[i] ? grad[i] : static_cast<T>(0.0f);
  }
}

}  // namespace

template <typename T>
cudaError_t LaunchFakeQuantize(const FakeQuantizeElements<T>& elements,
                               float* seen, cudaStream_t stream) {
  Quantize<T><<<BlocksFor(elements.n), kThreads, 0, stream>>>(elements, seen);
  return cudaGetLastError();
}

template <typename T>
cudaError_t LaunchPass(const T* grad, const uint8_t* pass, T* out, int64_t n,
                       cudaStream_t stream) {
  Pass<T><<<BlocksFor(n), kThreads, 0, stream>>>(grad, pass, out, n);
  return cudaGetLastError();
}

template cudaError_t LaunchFakeQuantize<float>(
    const FakeQuantizeElements<float>&, float*, cudaStream_t);
template cudaError_t LaunchFakeQuantize<__nv_bfloat16>(
    const FakeQuantizeElements<__nv_bfloat16>&, float*, cudaStream_t);
template cudaError_t LaunchPass<float>(const float*, const uint8_t*, float*,
                                       int64_t, cudaStream_t);
template cudaError_t LaunchPass<__nv_bfloat16>(const __nv_bfloat16*,
                                               const uint8_t*, __nv_bfloat16*,
                                               int64_t, cudaStream_t);

}  // namespace condense::runtime
