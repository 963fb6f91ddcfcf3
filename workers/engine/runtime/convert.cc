// Tensors of the graph to LibTorch's and back.

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/executor.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {

using graph::DType;

namespace {

// 4-bit elements, two to a byte, as one per byte.
torch::Tensor Unpack4(const graph::Tensor& tensor) {
  const std::vector<int64_t> levels = tensor.ToInts();
  return torch::tensor(levels, torch::kInt64)
      .reshape(tensor.dims())
      .to(*ScalarTypeOf(tensor.dtype()));
}

std::string Pack4(const torch::Tensor& flat) {
  const std::vector<int64_t> levels = IntsOf(flat);
  std::string bytes((levels.size() + 1) / 2, '\0');
  for (size_t i = 0; i < levels.size(); ++i) {
    bytes[i / 2] |= static_cast<char>((levels[i] & 15) << (i % 2 ? 4 : 0));
  }
  return bytes;
}

template <typename To>
std::string Narrow(const torch::Tensor& flat) {
  std::string bytes;
  for (int64_t value : IntsOf(flat)) {
    const To narrow = static_cast<To>(value);
    bytes.append(reinterpret_cast<const char*>(&narrow), sizeof(To));
  }
  return bytes;
}

template <typename From>
torch::Tensor Widen(const graph::Tensor& tensor) {
  torch::Tensor out = torch::empty(tensor.dims(), torch::kInt64);
  const char* bytes = tensor.bytes().data();
  int64_t* to = out.data_ptr<int64_t>();
  for (int64_t i = 0; i < out.numel(); ++i) {
    From value;
    std::memcpy(&value, bytes + i * sizeof(From), sizeof(From));
    to[i] = static_cast<int64_t>(value);
  }
  return out.to(*ScalarTypeOf(tensor.dtype()));
}

}  // namespace

absl::StatusOr<torch::Tensor> ToTorch(const graph::Tensor& tensor) {
  const auto type = ScalarTypeOf(tensor.dtype());
  if (!type) {
    return MakeError(
        absl::StatusCode::kUnimplemented, "NO_TORCH_DTYPE",
        absl::StrCat("LibTorch has no ", graph::DTypeName(tensor.dtype())));
  }
  switch (tensor.dtype()) {
    case DType::kInt4:
    case DType::kUint4:
      return Unpack4(tensor);
    case DType::kUint16:
      return Widen<uint16_t>(tensor);
    case DType::kUint32:
      return Widen<uint32_t>(tensor);
    default:
      break;
  }
  torch::Tensor out = torch::empty(tensor.dims(), *type);
  if (out.numel() > 0) {
    std::memcpy(out.data_ptr(), tensor.bytes().data(), tensor.bytes().size());
  }
  return out;
}

graph::Tensor FromTorch(const torch::Tensor& tensor) {
  return FromTorch(tensor, DTypeOfTorch(tensor.scalar_type()));
}

graph::Tensor FromTorch(const torch::Tensor& tensor, DType dtype) {
  const torch::Tensor flat =
      tensor.detach().to(torch::kCPU).contiguous(at::MemoryFormat::Contiguous);
  const std::vector<int64_t> dims = flat.sizes().vec();
  if (ScalarTypeOf(dtype) == flat.scalar_type()) {
    switch (dtype) {
      case DType::kInt4:
      case DType::kUint4:
        return graph::Tensor(dtype, dims, Pack4(flat));
      case DType::kUint16:
        return graph::Tensor(dtype, dims, Narrow<uint16_t>(flat));
      case DType::kUint32:
        return graph::Tensor(dtype, dims, Narrow<uint32_t>(flat));
      default:
        break;
    }
  } else {
    dtype = DTypeOfTorch(flat.scalar_type());
  }
  return graph::Tensor(
      dtype, dims,
      std::string(static_cast<const char*>(flat.data_ptr()), flat.nbytes()));
}

}  // namespace condense::runtime
