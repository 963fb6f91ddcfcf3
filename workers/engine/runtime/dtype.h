#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_DTYPE_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_DTYPE_H_

#include <torch/torch.h>

#include <optional>

#include "workers/engine/graph/tensor.h"

namespace condense::runtime {

// The type that LibTorch computes `dtype` in, nullopt for strings. Types that
// LibTorch lacks go to the next wider one: uint16 to int32, uint32 and uint64
// to int64, 4-bit ones to int8 and uint8.
std::optional<torch::ScalarType> ScalarTypeOf(graph::DType dtype);

// The type of a LibTorch tensor.
graph::DType DTypeOfTorch(torch::ScalarType type);

// `x` as `dtype` has it, kept in ScalarTypeOf(dtype): integers wrap around,
// floats lose their fraction.
torch::Tensor CastTo(const torch::Tensor& x, graph::DType dtype);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_DTYPE_H_
