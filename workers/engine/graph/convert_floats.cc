#include "workers/engine/graph/convert_floats.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace condense::graph {
namespace {

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// Drops the lowest `count` bits, rounding to the nearest, ties to even.
uint32_t RoundOff(uint32_t bits, int count) {
  const uint32_t half = uint32_t{1} << (count - 1);
  const uint32_t odd = (bits >> count) & 1;
  return (bits + half - 1 + odd) >> count;
}

uint16_t ToHalf(float value) {
  constexpr float kHalfMax = 65504;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return sign | 0x7e00;
  if (std::isinf(value)) return sign | 0x7c00;
  const float size = std::min(std::abs(value), kHalfMax);
  // Numbers below 2^-14 are multiples of 2^-24, without an exponent.
  constexpr float kSmallestNormal = 6.103515625e-05f, kSteps = 16777216;
  if (size < kSmallestNormal) {
    return sign | static_cast<uint16_t>(std::nearbyint(size * kSteps));
  }
  constexpr uint32_t kBias = (127 - 15) << 23;
  return sign | static_cast<uint16_t>(RoundOff(BitsOf(size) - kBias, 13));
}

uint16_t ToBFloat(float value) {
  if (std::isnan(value)) return 0x7fc0;
  constexpr uint32_t kInfinity = 0x7f80, kLargest = 0x7f7f;
  const uint32_t bits = BitsOf(value);
  const uint32_t sign = (bits >> 16) & 0x8000, size = bits & 0x7fffffff;
  uint32_t top = RoundOff(size, 16);
  if (top == kInfinity && !std::isinf(value)) top = kLargest;
  return static_cast<uint16_t>(sign | top);
}

template <typename To, typename From, typename Convert>
std::string Converted(const std::vector<From>& values, Convert convert) {
  std::string bytes(values.size() * sizeof(To), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    const To to = convert(values[i]);
    std::memcpy(bytes.data() + i * sizeof(To), &to, sizeof(To));
  }
  return bytes;
}

std::vector<double> Doubles(const Tensor& tensor) {
  std::vector<double> values(tensor.num_elements());
  if (values.empty()) return values;
  std::memcpy(values.data(), tensor.bytes().data(), tensor.bytes().size());
  return values;
}

float Narrow(double value) {
  constexpr double kMax = std::numeric_limits<float>::max();
  return static_cast<float>(
      std::isfinite(value) ? std::clamp(value, -kMax, kMax) : value);
}

std::string BytesAs(const Tensor& tensor, DType to) {
  const std::vector<float> values = tensor.ToFloats();
  switch (to) {
    case DType::kFloat64:
      return Converted<double>(values, [](float v) { return double{v}; });
    case DType::kFloat16:
      return Converted<uint16_t>(values, ToHalf);
    case DType::kBFloat16:
      return Converted<uint16_t>(values, ToBFloat);
    default:
      return Converted<float>(values, [](float v) { return v; });
  }
}

}  // namespace

Tensor ConvertFloats(const Tensor& tensor, DType to) {
  CONDENSE_CHECK(IsFloating(tensor.dtype()) && IsFloating(to),
                 DTypeName(tensor.dtype()));
  if (tensor.dtype() == to) return tensor;
  if (tensor.dtype() != DType::kFloat64) {
    return Tensor(to, tensor.dims(), BytesAs(tensor, to));
  }
  const Tensor narrow(DType::kFloat32, tensor.dims(),
                      Converted<float>(Doubles(tensor), Narrow));
  return ConvertFloats(narrow, to);
}

}  // namespace condense::graph
