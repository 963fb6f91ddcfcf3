#include "workers/engine/graph/tensor.h"

#include <array>

#include "workers/engine/graph/saturating.h"

namespace condense::graph {
namespace {

struct DTypeInfo {
  DType dtype;
  const char* name;
  int bits;
};

constexpr std::array<DTypeInfo, 17> kDTypes = {{
    {DType::kUndefined, "undefined", 0},
    {DType::kFloat32, "float32", 32},
    {DType::kFloat64, "float64", 64},
    {DType::kFloat16, "float16", 16},
    {DType::kBFloat16, "bfloat16", 16},
    {DType::kInt4, "int4", 4},
    {DType::kUint4, "uint4", 4},
    {DType::kInt8, "int8", 8},
    {DType::kUint8, "uint8", 8},
    {DType::kInt16, "int16", 16},
    {DType::kUint16, "uint16", 16},
    {DType::kInt32, "int32", 32},
    {DType::kUint32, "uint32", 32},
    {DType::kInt64, "int64", 64},
    {DType::kUint64, "uint64", 64},
    {DType::kBool, "bool", 8},
    {DType::kString, "string", 0},
}};

// IEEE 754 binary16 to binary32.
float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  uint32_t exponent = (half >> 10) & 0x1f;
  uint32_t mantissa = half & 0x3ff;
  uint32_t bits;
  if (exponent == 0x1f) {
    bits = sign | 0x7f800000 | (mantissa << 13);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  } else if (mantissa == 0) {
    bits = sign;
  } else {  // subnormal: normalise
    exponent = 113;
    while ((mantissa & 0x400) == 0) {
      mantissa <<= 1;
      --exponent;
    }
    bits = sign | (exponent << 23) | ((mantissa & 0x3ff) << 13);
  }
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

float BFloatToFloat(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// Calls `emit(value)` for each element, read as T.
template <typename T, typename Emit>
void ForEach(const std::string& bytes, int64_t count, Emit emit) {
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    emit(value);
  }
}

template <typename Emit>
void ForEachNibble(const std::string& bytes, int64_t count, bool is_signed,
                   Emit emit) {
  for (int64_t i = 0; i < count; ++i) {
    const int byte = static_cast<uint8_t>(bytes[i / 2]);
    const int nibble = i % 2 == 0 ? byte & 0xf : byte >> 4;
    emit(is_signed && nibble >= 8 ? nibble - 16 : nibble);
  }
}

template <typename Emit>
bool ForEachInteger(DType dtype, const std::string& bytes, int64_t count,
                    Emit emit) {
  switch (dtype) {
    case DType::kInt4:
    case DType::kUint4:
      ForEachNibble(bytes, count, dtype == DType::kInt4, emit);
      return true;
    case DType::kInt8:
      ForEach<int8_t>(bytes, count, emit);
      return true;
    case DType::kUint8:
    case DType::kBool:
      ForEach<uint8_t>(bytes, count, emit);
      return true;
    case DType::kInt16:
      ForEach<int16_t>(bytes, count, emit);
      return true;
    case DType::kUint16:
      ForEach<uint16_t>(bytes, count, emit);
      return true;
    case DType::kInt32:
      ForEach<int32_t>(bytes, count, emit);
      return true;
    case DType::kUint32:
      ForEach<uint32_t>(bytes, count, emit);
      return true;
    case DType::kInt64:
      ForEach<int64_t>(bytes, count, emit);
      return true;
    case DType::kUint64:
      ForEach<uint64_t>(bytes, count, emit);
      return true;
    default:
      return false;
  }
}

}  // namespace

absl::string_view DTypeName(DType dtype) {
  return kDTypes[static_cast<size_t>(dtype)].name;
}

DType DTypeFromName(absl::string_view name) {
  for (const DTypeInfo& info : kDTypes) {
    if (name == info.name) return info.dtype;
  }
  return DType::kUndefined;
}

int DTypeBits(DType dtype) { return kDTypes[static_cast<size_t>(dtype)].bits; }

bool IsFloating(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kFloat64 ||
         dtype == DType::kFloat16 || dtype == DType::kBFloat16;
}

Tensor::Tensor(DType dtype, std::vector<int64_t> dims, std::string bytes)
    : dtype_(dtype),
      dims_(std::move(dims)),
      bytes_(std::make_shared<const std::string>(std::move(bytes))) {
  CONDENSE_CHECK(
      static_cast<int64_t>(bytes_->size()) == ByteSize(dtype_, dims_),
      bytes_->size(), " bytes for ", DTypeName(dtype_));
}

Tensor::Tensor(std::vector<int64_t> dims, std::vector<std::string> strings)
    : dtype_(DType::kString),
      dims_(std::move(dims)),
      strings_(std::make_shared<const std::vector<std::string>>(
          std::move(strings))) {}

int64_t Tensor::num_elements() const {
  int64_t count = 1;
  for (int64_t dim : dims_) count = SaturatingMultiply(count, dim);
  return count;
}

int64_t Tensor::ByteSize(DType dtype, absl::Span<const int64_t> dims) {
  int64_t bits = DTypeBits(dtype);
  for (int64_t dim : dims) bits = SaturatingMultiply(bits, dim);
  return SaturatingAdd(bits, 7) / 8;
}

std::vector<float> Tensor::ToFloats() const {
  std::vector<float> out;
  const int64_t count = num_elements();
  out.reserve(count);
  auto emit = [&](auto value) { out.push_back(static_cast<float>(value)); };
  switch (dtype_) {
    case DType::kFloat32:
      ForEach<float>(*bytes_, count, emit);
      break;
    case DType::kFloat64:
      ForEach<double>(*bytes_, count, emit);
      break;
    case DType::kFloat16:
      ForEach<uint16_t>(*bytes_, count,
                        [&](uint16_t v) { out.push_back(HalfToFloat(v)); });
      break;
    case DType::kBFloat16:
      ForEach<uint16_t>(*bytes_, count,
                        [&](uint16_t v) { out.push_back(BFloatToFloat(v)); });
      break;
    default:
      CONDENSE_CHECK(ForEachInteger(dtype_, *bytes_, count, emit),
                     DTypeName(dtype_));
  }
  return out;
}

std::vector<int64_t> Tensor::ToInts() const {
  std::vector<int64_t> out;
  out.reserve(num_elements());
  CONDENSE_CHECK(ForEachInteger(dtype_, *bytes_, num_elements(),
                                [&](auto value) {
                                  out.push_back(static_cast<int64_t>(value));
                                }),
                 DTypeName(dtype_));
  return out;
}

bool operator==(const Tensor& a, const Tensor& b) {
  return a.dtype_ == b.dtype_ && a.dims_ == b.dims_ && *a.bytes_ == *b.bytes_ &&
         *a.strings_ == *b.strings_;
}

}  // namespace condense::graph
