#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_TENSOR_FILE_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_TENSOR_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "workers/engine/graph/tensor.h"

namespace condense::onnx_export {

// The bytes of a `.npy` file (NumPy format 1.0) with this tensor. UNIMPLEMENTED
// for dtypes that NumPy lacks (bfloat16, 4 bit, strings).
absl::StatusOr<std::string> NpyBytes(const graph::Tensor& tensor);

// The bytes of a serialized ONNX TensorProto.
std::string TensorProtoBytes(const graph::Tensor& tensor,
                             const std::string& name);

}  // namespace condense::onnx_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_TENSOR_FILE_H_
