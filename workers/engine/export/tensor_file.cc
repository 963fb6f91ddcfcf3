#include "workers/engine/export/tensor_file.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/error.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/export/onnx_tensor.h"

namespace condense::onnx_export {
namespace {

using graph::DType;

const char* NpyDescr(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return "<f4";
    case DType::kFloat64:
      return "<f8";
    case DType::kFloat16:
      return "<f2";
    case DType::kInt8:
      return "|i1";
    case DType::kUint8:
      return "|u1";
    case DType::kInt16:
      return "<i2";
    case DType::kUint16:
      return "<u2";
    case DType::kInt32:
      return "<i4";
    case DType::kUint32:
      return "<u4";
    case DType::kInt64:
      return "<i8";
    case DType::kUint64:
      return "<u8";
    case DType::kBool:
      return "|b1";
    default:
      return nullptr;
  }
}

}  // namespace

absl::StatusOr<std::string> NpyBytes(const graph::Tensor& tensor) {
  const char* descr = NpyDescr(tensor.dtype());
  if (descr == nullptr) {
    return MakeError(absl::StatusCode::kUnimplemented, "NO_NUMPY_DTYPE",
                     absl::StrCat("NumPy has no dtype for ",
                                  graph::DTypeName(tensor.dtype())));
  }
  std::string header = absl::StrCat("{'descr': '", descr,
                                    "', 'fortran_order': False, 'shape': (",
                                    absl::StrJoin(tensor.dims(), ", "),
                                    tensor.rank() == 1 ? "," : "", "), }");
  constexpr size_t kPrefix = 10;
  header.append(63 - (kPrefix + header.size()) % 64, ' ');
  header.push_back('\n');
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes.push_back(static_cast<char>(header.size() & 0xff));
  bytes.push_back(static_cast<char>(header.size() >> 8));
  return absl::StrCat(bytes, header, tensor.bytes());
}

std::string TensorProtoBytes(const graph::Tensor& tensor,
                             const std::string& name) {
  return TensorToProto(tensor, name).SerializeAsString();
}

}  // namespace condense::onnx_export
