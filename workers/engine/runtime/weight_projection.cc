#include "workers/engine/runtime/weight_projection.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

namespace condense::runtime {
namespace {

struct Moments {
  float max_abs = 0;
  double mean_abs = 0;
};

Moments MomentsOf(const float* w, int64_t n) {
  Moments moments;
  for (int64_t i = 0; i < n; ++i) {
    moments.max_abs = std::max(moments.max_abs, std::abs(w[i]));
    moments.mean_abs += std::abs(w[i]);
  }
  moments.mean_abs /= static_cast<double>(std::max<int64_t>(1, n));
  return moments;
}

// Zero has no scale of its own.
float Positive(double scale) {
  return scale > 0 ? static_cast<float>(scale) : 1.0f;
}

float UniformLevel(float w, float scale, float most) {
  return std::clamp(std::nearbyint(w / scale), -most, most) * scale;
}

float Uniform(const float* w, int64_t n, int64_t qmax, float scale, float* y) {
  const float most = static_cast<float>(qmax);
  for (int64_t i = 0; i < n; ++i) y[i] = UniformLevel(w[i], scale, most);
  return scale;
}

float PowerOfTwoAbove(float scale) {
  return std::exp2(std::ceil(std::log2(scale)));
}

// 0 or a power of two up to `most`, the nearest to v >= 0.
float NearestPower(float v, float most) {
  if (v < 0.5f) return 0;
  const float low = std::exp2(std::floor(std::log2(std::max(v, 1.0f))));
  if (low >= most) return most;
  return v - low > 2 * low - v ? 2 * low : low;
}

float Log2Level(float w, float scale, float most) {
  return std::copysign(NearestPower(std::abs(w) / scale, most), w) * scale;
}

float LargestPower(int64_t qmax) {
  return std::exp2(std::floor(std::log2(static_cast<float>(qmax))));
}

float Log2(const float* w, int64_t n, int64_t qmax, float* y) {
  const float most = LargestPower(qmax);
  const float scale =
      MaxAbsScale(MomentsOf(w, n).max_abs, static_cast<int64_t>(most));
  for (int64_t i = 0; i < n; ++i) y[i] = Log2Level(w[i], scale, most);
  return scale;
}

float Binary(const float* w, int64_t n, float* y) {
  const float scale = Positive(MomentsOf(w, n).mean_abs);
  for (int64_t i = 0; i < n; ++i) y[i] = w[i] < 0 ? -scale : scale;
  return scale;
}

float Ternary(const float* w, int64_t n, float* y) {
  const double threshold = 0.7 * MomentsOf(w, n).mean_abs;
  double sum = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (std::abs(w[i]) <= threshold) continue;
    sum += std::abs(w[i]);
    ++count;
  }
  const float scale = Positive(count == 0 ? 0 : sum / count);
  for (int64_t i = 0; i < n; ++i) {
    y[i] = std::abs(w[i]) <= threshold ? 0 : std::copysign(scale, w[i]);
  }
  return scale;
}

}  // namespace

float MaxAbsScale(float max_abs, int64_t qmax) {
  const double steps = static_cast<double>(qmax);
  // A channel of zeros has any scale; below this its reciprocal overflows.
  const double most = max_abs < 1e-30 * steps ? 1.0 : max_abs;
  return static_cast<float>(most / steps);
}

std::optional<Projection> ProjectionOf(const std::string& name) {
  static const auto& names = *new std::map<std::string, Projection>{
      {"max_abs", Projection::kMaxAbs},
      {"power_of_two", Projection::kPowerOfTwo},
      {"log2", Projection::kLog2},
      {"binary", Projection::kBinary},
      {"ternary", Projection::kTernary}};
  const auto it = names.find(name);
  return it == names.end() ? std::nullopt : std::make_optional(it->second);
}

float ProjectWeights(Projection projection, const float* w, int64_t n,
                     int64_t qmax, float* y) {
  switch (projection) {
    case Projection::kMaxAbs:
      return Uniform(w, n, qmax, MaxAbsScale(MomentsOf(w, n).max_abs, qmax), y);
    case Projection::kPowerOfTwo:
      return Uniform(
          w, n, qmax,
          PowerOfTwoAbove(MaxAbsScale(MomentsOf(w, n).max_abs, qmax)), y);
    case Projection::kLog2:
      return Log2(w, n, qmax, y);
    case Projection::kBinary:
      return Binary(w, n, y);
    case Projection::kTernary:
      return Ternary(w, n, y);
  }
  return 1;
}

float NearestLevel(Projection projection, float w, float scale, int64_t qmax) {
  return projection == Projection::kLog2
             ? Log2Level(w, scale, LargestPower(qmax))
             : UniformLevel(w, scale, static_cast<float>(qmax));
}

void ProjectChannels(Projection projection, const float* w, int64_t outer,
                     int64_t channels, int64_t inner, int64_t qmax, float* y,
                     float* scales) {
  std::vector<float> channel(outer * inner);
  for (int64_t c = 0; c < channels; ++c) {
    const auto at = [&](int64_t o) { return (o * channels + c) * inner; };
    for (int64_t o = 0; o < outer; ++o) {
      std::copy_n(w + at(o), inner, channel.data() + o * inner);
    }
    scales[c] = ProjectWeights(projection, channel.data(), outer * inner, qmax,
                               channel.data());
    for (int64_t o = 0; o < outer; ++o) {
      std::copy_n(channel.data() + o * inner, inner, y + at(o));
    }
  }
}

}  // namespace condense::runtime
