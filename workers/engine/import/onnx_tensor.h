#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_TENSOR_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_TENSOR_H_

// Private to this room: ONNX's protos do not leave it.

#include <string>

#include "absl/status/statusor.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/graph/tensor.h"

namespace condense::onnx_import {

// kUndefined for types that the graph has not.
graph::DType DTypeFromOnnx(int data_type);

// A tensor with its data, whatever field it is in; external data is read from
// below `folder` (empty: refused). INVALID_ARGUMENT with reason BAD_TENSOR:
// negative or huge dims, or bytes that do not fill them; BAD_EXTERNAL_DATA: a
// path that leaves the folder or a file that is too short.
absl::StatusOr<graph::Tensor> TensorFromProto(const onnx::TensorProto& proto,
                                              const std::string& folder = "");

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_TENSOR_H_
