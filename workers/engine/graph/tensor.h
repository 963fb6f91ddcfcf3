#ifndef CONDENSE_WORKERS_ENGINE_GRAPH_TENSOR_H_
#define CONDENSE_WORKERS_ENGINE_GRAPH_TENSOR_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "common/log.h"

namespace condense::graph {

// Element types, as ONNX has them.
enum class DType : uint8_t {
  kUndefined,
  kFloat32,
  kFloat64,
  kFloat16,
  kBFloat16,
  kInt4,
  kUint4,
  kInt8,
  kUint8,
  kInt16,
  kUint16,
  kInt32,
  kUint32,
  kInt64,
  kUint64,
  kBool,
  kString,
};

// "float32", "int8", ... as text form, reports and tensors.json write it.
absl::string_view DTypeName(DType dtype);
// The inverse; kUndefined for another name.
DType DTypeFromName(absl::string_view name);
// Bits per element; 4 for the packed 4-bit types, 0 for kString and kUndefined.
int DTypeBits(DType dtype);
bool IsFloating(DType dtype);

// Maps a C++ type to its DType.
template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kFloat32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kFloat64;
};
template <>
struct DTypeOf<int8_t> {
  static constexpr DType value = DType::kInt8;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kUint8;
};
template <>
struct DTypeOf<int16_t> {
  static constexpr DType value = DType::kInt16;
};
template <>
struct DTypeOf<uint16_t> {
  static constexpr DType value = DType::kUint16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kInt32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kInt64;
};
template <>
struct DTypeOf<bool> {
  static constexpr DType value = DType::kBool;
};

// A dense row-major array of known shape: dtype, dims and little-endian bytes.
// 4-bit types are packed two to a byte, first element low. Immutable and cheap
// to copy: copies share the bytes (they are never written after construction),
// so a Tensor may be read from many threads.
class Tensor {
 public:
  Tensor() = default;
  // `bytes` must have exactly ByteSize(dtype, dims) bytes.
  Tensor(DType dtype, std::vector<int64_t> dims, std::string bytes);
  // A tensor of strings (labels, rarely met).
  Tensor(std::vector<int64_t> dims, std::vector<std::string> strings);

  template <typename T>
  static Tensor Of(std::vector<int64_t> dims, absl::Span<const T> values) {
    return Tensor(DTypeOf<T>::value, std::move(dims),
                  std::string(reinterpret_cast<const char*>(values.data()),
                              values.size() * sizeof(T)));
  }
  template <typename T>
  static Tensor Of(std::vector<int64_t> dims, const std::vector<T>& values) {
    return Of<T>(std::move(dims), absl::MakeConstSpan(values));
  }
  template <typename T>
  static Tensor Scalar(T value) {
    return Of<T>({}, absl::MakeConstSpan(&value, 1));
  }

  DType dtype() const { return dtype_; }
  const std::vector<int64_t>& dims() const { return dims_; }
  int64_t rank() const { return static_cast<int64_t>(dims_.size()); }
  // 1 for a scalar.
  int64_t num_elements() const;
  const std::string& bytes() const { return *bytes_; }
  const std::vector<std::string>& strings() const { return *strings_; }

  // The elements; T must match dtype().
  template <typename T>
  absl::Span<const T> data() const {
    CONDENSE_CHECK(DTypeOf<T>::value == dtype_, DTypeName(dtype_));
    return {reinterpret_cast<const T*>(bytes_->data()),
            static_cast<size_t>(num_elements())};
  }
  // The elements converted: any floating dtype, any integer or bool.
  std::vector<float> ToFloats() const;
  // The elements of an integer or bool tensor; CHECK-fails for others.
  std::vector<int64_t> ToInts() const;

  friend bool operator==(const Tensor& a, const Tensor& b);

  // The size of the bytes of such a tensor.
  static int64_t ByteSize(DType dtype, absl::Span<const int64_t> dims);

 private:
  DType dtype_ = DType::kUndefined;
  std::vector<int64_t> dims_;
  // Shared because copies of a graph share their weights.
  std::shared_ptr<const std::string> bytes_ =
      std::make_shared<const std::string>();
  std::shared_ptr<const std::vector<std::string>> strings_ =
      std::make_shared<const std::vector<std::string>>();
};

}  // namespace condense::graph

#endif  // CONDENSE_WORKERS_ENGINE_GRAPH_TENSOR_H_
