#include "workers/engine/runtime/dtype.h"

namespace condense::runtime {

using graph::DType;

std::optional<torch::ScalarType> ScalarTypeOf(DType dtype) {
  switch (dtype) {
    case DType::kFloat32:
      return torch::kFloat32;
    case DType::kFloat64:
      return torch::kFloat64;
    case DType::kFloat16:
      return torch::kFloat16;
    case DType::kBFloat16:
      return torch::kBFloat16;
    case DType::kInt4:
    case DType::kInt8:
      return torch::kInt8;
    case DType::kUint4:
    case DType::kUint8:
      return torch::kUInt8;
    case DType::kInt16:
      return torch::kInt16;
    case DType::kUint16:
    case DType::kInt32:
      return torch::kInt32;
    case DType::kUint32:
    case DType::kUint64:
    case DType::kInt64:
      return torch::kInt64;
    case DType::kBool:
      return torch::kBool;
    case DType::kString:
    case DType::kUndefined:
      return std::nullopt;
  }
  return std::nullopt;
}

DType DTypeOfTorch(torch::ScalarType type) {
  switch (type) {
    case torch::kFloat64:
      return DType::kFloat64;
    case torch::kFloat16:
      return DType::kFloat16;
    case torch::kBFloat16:
      return DType::kBFloat16;
    case torch::kInt8:
      return DType::kInt8;
    case torch::kUInt8:
      return DType::kUint8;
    case torch::kInt16:
      return DType::kInt16;
    case torch::kInt32:
      return DType::kInt32;
    case torch::kInt64:
      return DType::kInt64;
    case torch::kBool:
      return DType::kBool;
    default:
      return DType::kFloat32;
  }
}

torch::Tensor CastTo(const torch::Tensor& x, DType dtype) {
  const auto type = ScalarTypeOf(dtype);
  TORCH_CHECK(type.has_value(), "no LibTorch type for ",
              std::string(graph::DTypeName(dtype)));
  switch (dtype) {
    case DType::kInt4: {
      const torch::Tensor low = at::bitwise_and(x.to(torch::kInt64), 15);
      return at::where(low > 7, low - 16, low).to(*type);
    }
    case DType::kUint4:
      return at::bitwise_and(x.to(torch::kInt64), 15).to(*type);
    case DType::kUint16:
      return at::bitwise_and(x.to(torch::kInt64), 0xffff).to(*type);
    case DType::kUint32:
      return at::bitwise_and(x.to(torch::kInt64),
                             at::Scalar(int64_t{0xffffffff}));
    default:
      return x.to(*type);
  }
}

}  // namespace condense::runtime
