#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_WEIGHT_PROJECTION_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_WEIGHT_PROJECTION_H_

// The nearest quantized weights by schemes that take their scale from the
// weights themselves. All give integers in [-qmax, qmax] times one scale: a
// file holds them like any other symmetric weights. No LibTorch.

#include <cstdint>
#include <optional>
#include <string>

namespace condense::runtime {

enum class Projection {
  // s = max |w| / qmax, level = round_half_even(w / s).
  kMaxAbs,
  // The same with s rounded up to a power of two.
  kPowerOfTwo,
  // level = 0 or +-2^k with 2^k <= qmax, the nearest to w / s;
  // s = max |w| / (the largest such 2^k). Zhou et al., arXiv:1702.03044.
  kLog2,
  // level = w < 0 ? -1 : 1, s = mean |w|. Rastegari et al., arXiv:1603.05279.
  kBinary,
  // level = |w| > d ? sign(w) : 0, d = .7 mean |w|, s = mean of |w| over d.
  // Li et al., arXiv:1605.04711.
  kTernary,
};

// "max_abs", "power_of_two", "log2", "binary", "ternary"; nullopt for others.
std::optional<Projection> ProjectionOf(const std::string& name);

// y = level * s for n weights that share a scale; returns s > 0 (weights that
// are all zero have a scale too). y may be w.
float ProjectWeights(Projection projection, const float* w, int64_t n,
                     int64_t qmax, float* y);

// The nearest level times the scale for one weight, by a scale that is given:
// kMaxAbs, kPowerOfTwo and kLog2.
float NearestLevel(Projection projection, float w, float scale, int64_t qmax);

// ProjectWeights for a tensor of [outer, channels, inner] whose channels have a
// scale each; `scales` gets `channels` values.
void ProjectChannels(Projection projection, const float* w, int64_t outer,
                     int64_t channels, int64_t inner, int64_t qmax, float* y,
                     float* scales);

// max_abs / qmax; for (almost) nothing but zeros 1 / qmax, never 0.
float MaxAbsScale(float max_abs, int64_t qmax);

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_WEIGHT_PROJECTION_H_
