#ifndef CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_TENSOR_H_
#define CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_TENSOR_H_

// Private to this room: ONNX's protos do not leave it.

#include <string>

#include "onnx/onnx_pb.h"
#include "workers/engine/graph/tensor.h"

namespace condense::onnx_export {

// The number that ONNX gives a dtype.
int OnnxDType(graph::DType dtype);

onnx::TensorProto TensorToProto(const graph::Tensor& tensor,
                                const std::string& name);

}  // namespace condense::onnx_export

#endif  // CONDENSE_WORKERS_ENGINE_EXPORT_ONNX_TENSOR_H_
