#include "workers/engine/export/initializers.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/files.h"
#include "workers/engine/export/onnx_tensor.h"

namespace condense::onnx_export {
namespace {

using graph::DType;
using graph::Tensor;

// Smaller ones stay in the model and dense, as ONNX's own tools do it.
constexpr int64_t kBytesMin = 1024;
// Offsets that any element type may be read from in place.
constexpr int64_t kAlignment = 64;

bool IsZero(const char* element, int64_t bytes) {
  return std::all_of(element, element + bytes, [](char c) { return c == 0; });
}

// Values and their positions in the row-major tensor, where that is smaller.
std::optional<onnx::SparseTensorProto> Sparse(const Tensor& tensor,
                                              const std::string& name) {
  const int64_t bits = graph::DTypeBits(tensor.dtype());
  if (bits < 8) return std::nullopt;
  const int64_t size = bits / 8;
  const std::string& bytes = tensor.bytes();
  std::vector<int64_t> positions;
  const size_t most = bytes.size() / (size + sizeof(int64_t));
  for (int64_t i = 0; i < tensor.num_elements(); ++i) {
    if (IsZero(bytes.data() + i * size, size)) continue;
    positions.push_back(i);
    if (positions.size() >= most) return std::nullopt;
  }
  std::string values;
  for (int64_t i : positions) values.append(bytes, i * size, size);
  const int64_t count = static_cast<int64_t>(positions.size());
  onnx::SparseTensorProto proto;
  *proto.mutable_values() =
      TensorToProto(Tensor(tensor.dtype(), {count}, std::move(values)), name);
  *proto.mutable_indices() = TensorToProto(
      Tensor::Of<int64_t>({count}, positions), absl::StrCat(name, "_indices"));
  for (int64_t dim : tensor.dims()) proto.add_dims(dim);
  return proto;
}

}  // namespace

void InitializerWriter::Add(const Tensor& tensor, const std::string& name,
                            onnx::GraphProto* out) {
  const int64_t bytes = static_cast<int64_t>(tensor.bytes().size());
  if (options_.sparse && bytes >= kBytesMin) {
    if (auto sparse = Sparse(tensor, name)) {
      *out->add_sparse_initializer() = *std::move(sparse);
      return;
    }
  }
  if (options_.location.empty() || bytes < kBytesMin) {
    *out->add_initializer() = TensorToProto(tensor, name);
    return;
  }
  size_ = (size_ + kAlignment - 1) / kAlignment * kAlignment;
  onnx::TensorProto* proto = out->add_initializer();
  proto->set_name(name);
  proto->set_data_type(OnnxDType(tensor.dtype()));
  for (int64_t dim : tensor.dims()) proto->add_dims(dim);
  proto->set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] :
       {std::pair<const char*, std::string>("location", options_.location),
        {"offset", absl::StrCat(size_)},
        {"length", absl::StrCat(bytes)}}) {
    auto* entry = proto->add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
  tensors_.push_back(tensor);
  size_ += bytes;
}

absl::Status InitializerWriter::WriteFile(const std::string& path) const {
  static const std::string& padding = *new std::string(kAlignment, '\0');
  std::vector<absl::string_view> parts;
  int64_t size = 0;
  for (const Tensor& tensor : tensors_) {
    const int64_t gap = (kAlignment - size % kAlignment) % kAlignment;
    parts.push_back(absl::string_view(padding).substr(0, gap));
    parts.push_back(tensor.bytes());
    size += gap + static_cast<int64_t>(tensor.bytes().size());
  }
  return WriteFileAtomically(path, absl::MakeConstSpan(parts));
}

}  // namespace condense::onnx_export
