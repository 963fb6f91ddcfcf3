#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_KERNELS_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_KERNELS_H_

// Declares what fake_quantize_kernels.cu defines, for float and __nv_bfloat16.
// Launches return at once; an error is one of the launch, or an earlier one.
// All pointers are to memory of the current device.

#include <cuda_bf16.h>
#include <cuda_runtime_api.h>

#include "workers/engine/runtime/fake_quantize_element.h"

namespace condense::runtime {

// All elements, n > 0. `seen`, where not null, is {smallest, largest} and is
// widened by what enters the quantizer, NaN passed over.
template <typename T>
cudaError_t LaunchFakeQuantize(const FakeQuantizeElements<T>& elements,
                               float* seen, cudaStream_t stream);

// out[i] = pass[i] ? grad[i] : 0, n > 0. `out` may be `grad`.
template <typename T>
cudaError_t LaunchPass(const T* grad, const uint8_t* pass, T* out, int64_t n,
                       cudaStream_t stream);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_KERNELS_H_
