#include "workers/engine/import/onnx_tensor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::onnx_import {
namespace {

using graph::DType;
using graph::Tensor;

// 16 GiB: beyond any model that fits a worker.
constexpr int64_t kTensorBytesMax = int64_t{1} << 34;
// Not in the protos of ONNX 1.12.
constexpr int kOnnxUint4 = 21;
constexpr int kOnnxInt4 = 22;

absl::Status BadTensor(const onnx::TensorProto& proto, absl::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_TENSOR",
                   absl::StrCat("tensor '", proto.name(), "': ", why));
}

absl::StatusOr<int64_t> BytesOf(const onnx::TensorProto& proto, DType dtype) {
  int64_t bits = graph::DTypeBits(dtype);
  for (int64_t dim : proto.dims()) {
    if (dim < 0) return BadTensor(proto, "a negative dimension");
    if (dim > 0 && bits > 8 * kTensorBytesMax / dim) {
      return BadTensor(proto, "it is larger than 16 GiB");
    }
    bits *= dim;
  }
  return (bits + 7) / 8;
}

// The typed fields, narrowed to the tensor's own type.
template <typename To, typename Field>
std::string Narrow(const Field& field) {
  std::string bytes;
  bytes.reserve(field.size() * sizeof(To));
  for (const auto& value : field) {
    const To narrow = static_cast<To>(value);
    bytes.append(reinterpret_cast<const char*>(&narrow), sizeof(To));
  }
  return bytes;
}

std::string FromTypedFields(const onnx::TensorProto& proto, DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return Narrow<float>(proto.float_data());
    case DType::kFloat64:
      return Narrow<double>(proto.double_data());
    case DType::kInt64:
      return Narrow<int64_t>(proto.int64_data());
    case DType::kUint64:
      return Narrow<uint64_t>(proto.uint64_data());
    case DType::kUint32:
      return Narrow<uint32_t>(proto.uint64_data());
    case DType::kInt32:
      return Narrow<int32_t>(proto.int32_data());
    case DType::kInt16:
    case DType::kUint16:
    case DType::kFloat16:
    case DType::kBFloat16:
      return Narrow<uint16_t>(proto.int32_data());
    default:
      return Narrow<uint8_t>(proto.int32_data());
  }
}

}  // namespace

DType DTypeFromOnnx(int data_type) {
  switch (data_type) {
    case onnx::TensorProto::FLOAT:
      return DType::kFloat32;
    case onnx::TensorProto::DOUBLE:
      return DType::kFloat64;
    case onnx::TensorProto::FLOAT16:
      return DType::kFloat16;
    case onnx::TensorProto::BFLOAT16:
      return DType::kBFloat16;
    case onnx::TensorProto::INT8:
      return DType::kInt8;
    case onnx::TensorProto::UINT8:
      return DType::kUint8;
    case onnx::TensorProto::INT16:
      return DType::kInt16;
    case onnx::TensorProto::UINT16:
      return DType::kUint16;
    case onnx::TensorProto::INT32:
      return DType::kInt32;
    case onnx::TensorProto::UINT32:
      return DType::kUint32;
    case onnx::TensorProto::INT64:
      return DType::kInt64;
    case onnx::TensorProto::UINT64:
      return DType::kUint64;
    case onnx::TensorProto::BOOL:
      return DType::kBool;
    case onnx::TensorProto::STRING:
      return DType::kString;
    case kOnnxInt4:
      return DType::kInt4;
    case kOnnxUint4:
      return DType::kUint4;
    default:
      return DType::kUndefined;
  }
}

absl::StatusOr<Tensor> TensorFromProto(onnx::TensorProto proto,
                                       ExternalData* external) {
  const DType dtype = DTypeFromOnnx(proto.data_type());
  if (dtype == DType::kUndefined) {
    return BadTensor(proto, absl::StrCat("data type ", proto.data_type()));
  }
  std::vector<int64_t> dims(proto.dims().begin(), proto.dims().end());
  CONDENSE_ASSIGN_OR_RETURN(int64_t bytes, BytesOf(proto, dtype));
  if (dtype == DType::kString) {
    const int64_t count = proto.string_data_size();
    int64_t wanted = 1;
    for (int64_t dim : dims) {
      if (dim < 0) return BadTensor(proto, "a negative dimension");
      wanted = dim > 0 && wanted > count / dim ? count + 1 : wanted * dim;
    }
    if (wanted != count) return BadTensor(proto, "too few strings");
    return Tensor(std::move(dims),
                  std::vector<std::string>(proto.string_data().begin(),
                                           proto.string_data().end()));
  }
  std::string data;
  if (proto.data_location() == onnx::TensorProto::EXTERNAL) {
    if (external == nullptr) {
      return MakeError(absl::StatusCode::kInvalidArgument, "BAD_EXTERNAL_DATA",
                       absl::StrCat("tensor '", proto.name(),
                                    "': external data is not allowed here"));
    }
    CONDENSE_ASSIGN_OR_RETURN(data, external->Read(proto, bytes));
  } else if (!proto.raw_data().empty()) {
    data = std::move(*proto.mutable_raw_data());
  } else {
    data = FromTypedFields(proto, dtype);
  }
  if (static_cast<int64_t>(data.size()) != bytes) {
    return BadTensor(proto,
                     absl::StrCat("it has ", data.size(),
                                  " bytes where its shape needs ", bytes));
  }
  return Tensor(dtype, std::move(dims), std::move(data));
}

}  // namespace condense::onnx_import
