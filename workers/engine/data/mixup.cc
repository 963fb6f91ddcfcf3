#include "workers/engine/data/mixup.h"

#include <cmath>
#include <numeric>

namespace condense::data {
namespace {

// Box and Muller; a uniform number is never 1.
double DrawNormal(Random* random) {
  const double radius = std::sqrt(-2 * std::log(1 - random->Uniform()));
  return radius * std::cos(2 * M_PI * random->Uniform());
}

double DrawGamma(double alpha, Random* random) {
  // Below 1 by a draw from above 1.
  if (alpha < 1) {
    const double boost = std::pow(1 - random->Uniform(), 1 / alpha);
    return boost * DrawGamma(alpha + 1, random);
  }
  const double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = DrawNormal(random);
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    const double u = 1 - random->Uniform();
    if (std::log(u) < 0.5 * x * x + d * (1 - v + std::log(v))) return d * v;
  }
}

}  // namespace

double DrawBeta(double alpha, Random* random) {
  const double a = DrawGamma(alpha, random), b = DrawGamma(alpha, random);
  // Both may be too small for a double where alpha is.
  return a + b > 0 ? a / (a + b) : static_cast<double>(random->Below(2));
}

Mixing Mix(double alpha, int64_t count, Random* random,
           std::vector<float>* values) {
  Mixing mixing;
  mixing.lambda = DrawBeta(alpha, random);
  mixing.partner.resize(count);
  std::iota(mixing.partner.begin(), mixing.partner.end(), 0);
  random->Shuffle(&mixing.partner);
  const auto keep = static_cast<float>(mixing.lambda);
  const size_t size = values->size() / static_cast<size_t>(count);
  const std::vector<float> before = *values;
  for (int64_t i = 0; i < count; ++i) {
    const float* other = before.data() + mixing.partner[i] * size;
    float* own = values->data() + i * size;
    for (size_t k = 0; k < size; ++k) {
      own[k] = keep * own[k] + (1 - keep) * other[k];
    }
  }
  return mixing;
}

}  // namespace condense::data
