#include "workers/engine/import/sparse_tensor.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/import/onnx_tensor.h"

namespace condense::onnx_import {
namespace {

using graph::DType;
using graph::Tensor;

// A few bytes of a file must not ask for more memory than models have.
constexpr int64_t kDenseBytesMax = int64_t{1} << 31;

absl::Status Bad(const std::string& name, absl::string_view why) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_TENSOR",
                   absl::StrCat("sparse tensor '", name, "': ", why));
}

// The number of elements of the dense tensor.
absl::StatusOr<int64_t> CountOf(const std::string& name,
                                const std::vector<int64_t>& dims,
                                int64_t element_bytes) {
  int64_t count = 1;
  for (int64_t dim : dims) {
    if (dim < 0) return Bad(name, "a negative dimension");
    if (dim > 0 && count > kDenseBytesMax / element_bytes / dim) {
      return Bad(name, "it is larger than 2 GiB when dense");
    }
    count *= dim;
  }
  return count;
}

// Where each value goes, whichever way the indices are laid out.
absl::StatusOr<std::vector<int64_t>> Positions(
    const std::string& name, const Tensor& indices, int64_t values,
    const std::vector<int64_t>& dims) {
  const int64_t rank = static_cast<int64_t>(dims.size());
  const std::vector<int64_t> given = indices.ToInts();
  if (indices.dims() == std::vector<int64_t>{values}) return given;
  if (indices.dims() != std::vector<int64_t>{values, rank}) {
    return Bad(name, "the indices do not fit the values");
  }
  std::vector<int64_t> positions;
  for (int64_t i = 0; i < values; ++i) {
    int64_t position = 0;
    for (int64_t axis = 0; axis < rank; ++axis) {
      const int64_t at = given[i * rank + axis];
      if (at < 0 || at >= dims[axis]) return Bad(name, "an index out of range");
      position = position * dims[axis] + at;
    }
    positions.push_back(position);
  }
  return positions;
}

}  // namespace

absl::StatusOr<Tensor> TensorFromSparse(onnx::SparseTensorProto proto,
                                        ExternalData* external) {
  const std::string name = proto.values().name();
  CONDENSE_ASSIGN_OR_RETURN(
      const Tensor values,
      TensorFromProto(std::move(*proto.mutable_values()), external));
  CONDENSE_ASSIGN_OR_RETURN(
      const Tensor indices,
      TensorFromProto(std::move(*proto.mutable_indices()), external));
  const int64_t bits = graph::DTypeBits(values.dtype());
  if (bits < 8) return Bad(name, "values of strings or 4 bits");
  if (indices.dtype() != DType::kInt64 || values.rank() != 1) {
    return Bad(name, "the indices are not int64, or the values no list");
  }
  std::vector<int64_t> dims(proto.dims().begin(), proto.dims().end());
  CONDENSE_ASSIGN_OR_RETURN(const int64_t count, CountOf(name, dims, bits / 8));
  CONDENSE_ASSIGN_OR_RETURN(
      const std::vector<int64_t> positions,
      Positions(name, indices, values.num_elements(), dims));
  std::string bytes(count * bits / 8, '\0');
  int64_t last = -1;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] <= last || positions[i] >= count) {
      return Bad(name, "an index out of range, or out of order");
    }
    last = positions[i];
    std::memcpy(bytes.data() + last * (bits / 8),
                values.bytes().data() + i * (bits / 8), bits / 8);
  }
  return Tensor(values.dtype(), std::move(dims), std::move(bytes));
}

}  // namespace condense::onnx_import
