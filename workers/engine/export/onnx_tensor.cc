#include "workers/engine/export/onnx_tensor.h"

namespace condense::onnx_export {

using graph::DType;

int OnnxDType(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return onnx::TensorProto::FLOAT;
    case DType::kFloat64:
      return onnx::TensorProto::DOUBLE;
    case DType::kFloat16:
      return onnx::TensorProto::FLOAT16;
    case DType::kBFloat16:
      return onnx::TensorProto::BFLOAT16;
    case DType::kInt4:
      return 22;
    case DType::kUint4:
      return 21;
    case DType::kInt8:
      return onnx::TensorProto::INT8;
    case DType::kUint8:
      return onnx::TensorProto::UINT8;
    case DType::kInt16:
      return onnx::TensorProto::INT16;
    case DType::kUint16:
      return onnx::TensorProto::UINT16;
    case DType::kInt32:
      return onnx::TensorProto::INT32;
    case DType::kUint32:
      return onnx::TensorProto::UINT32;
    case DType::kInt64:
      return onnx::TensorProto::INT64;
    case DType::kUint64:
      return onnx::TensorProto::UINT64;
    case DType::kBool:
      return onnx::TensorProto::BOOL;
    case DType::kString:
      return onnx::TensorProto::STRING;
    case DType::kUndefined:
      break;
  }
  return onnx::TensorProto::UNDEFINED;
}

onnx::TensorProto TensorToProto(const graph::Tensor& tensor,
                                const std::string& name) {
  onnx::TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(OnnxDType(tensor.dtype()));
  for (int64_t dim : tensor.dims()) proto.add_dims(dim);
  if (tensor.dtype() == DType::kString) {
    for (const std::string& text : tensor.strings()) {
      proto.add_string_data(text);
    }
  } else {
    proto.set_raw_data(tensor.bytes());
  }
  return proto;
}

}  // namespace condense::onnx_export
