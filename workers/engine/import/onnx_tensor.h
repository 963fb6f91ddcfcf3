#ifndef CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_TENSOR_H_
#define CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_TENSOR_H_

// Private to this room: ONNX's protos do not leave it.

#include "absl/status/statusor.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/graph/tensor.h"
#include "workers/engine/import/external_data.h"

namespace condense::onnx_import {

// kUndefined for types that the graph has not.
graph::DType DTypeFromOnnx(int data_type);

// A tensor with its data, whatever field it is in; takes raw bytes out of the
// proto. External data is read through `external` (null: refused).
// INVALID_ARGUMENT with reason BAD_TENSOR: negative or huge dims, or bytes that
// do not fill them; BAD_EXTERNAL_DATA.
absl::StatusOr<graph::Tensor> TensorFromProto(onnx::TensorProto proto,
                                              ExternalData* external = nullptr);

}  // namespace condense::onnx_import

#endif  // CONDENSE_WORKERS_ENGINE_IMPORT_ONNX_TENSOR_H_
