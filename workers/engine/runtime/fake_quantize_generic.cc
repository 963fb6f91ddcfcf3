// The loops for any processor, and the choice among all of them.

#include <cmath>

#include "workers/engine/runtime/fake_quantize_loops.h"

namespace condense::runtime {
namespace {

template <typename F>
void ForEachLane(F f) {
  for (int64_t i = 0; i < kLanes; ++i) f(i);
}

struct Generic {
  float v[kLanes];

  static Generic Fill(float x) {
    Generic out;
    ForEachLane([&](int64_t i) { out.v[i] = x; });
    return out;
  }
  static Generic Load(const float* x) {
    Generic out;
    std::memcpy(out.v, x, sizeof(out.v));
    return out;
  }
  static Generic Load(const BFloat16* x) {
    Generic out;
    ForEachLane([&](int64_t i) {
      const uint32_t bits = static_cast<uint32_t>(x[i].bits) << 16;
      std::memcpy(&out.v[i], &bits, sizeof(bits));
    });
    return out;
  }
  static void Store(Generic a, float* y) { std::memcpy(y, a.v, sizeof(a.v)); }
  // Rounds to even; NaN keeps its upper bits and stays NaN.
  static void Store(Generic a, BFloat16* y) {
    ForEachLane([&](int64_t i) {
      uint32_t bits;
      std::memcpy(&bits, &a.v[i], sizeof(bits));
      bits = std::isnan(a.v[i]) ? bits | 0x400000
                                : bits + 0x7fff + ((bits >> 16) & 1);
      y[i].bits = static_cast<uint16_t>(bits >> 16);
    });
  }
  template <typename F>
  static Generic Map(const Generic& a, const Generic& b, F f) {
    Generic out;
    ForEachLane([&](int64_t i) { out.v[i] = f(a.v[i], b.v[i]); });
    return out;
  }
  static Generic Add(const Generic& a, const Generic& b) {
    return Map(a, b, [](float x, float y) { return x + y; });
  }
  static Generic Subtract(const Generic& a, const Generic& b) {
    return Map(a, b, [](float x, float y) { return x - y; });
  }
  static Generic Multiply(const Generic& a, const Generic& b) {
    return Map(a, b, [](float x, float y) { return x * y; });
  }
  static Generic Divide(const Generic& a, const Generic& b) {
    return Map(a, b, [](float x, float y) { return x / y; });
  }
  static Generic Round(const Generic& a) {
    return Map(a, a, [](float x, float) { return std::nearbyint(x); });
  }
  static Generic Abs(const Generic& a) {
    return Map(a, a, [](float x, float) { return std::fabs(x); });
  }
  // The second where one of them is NaN, as the vector instructions have it.
  static Generic Min(const Generic& a, const Generic& b) {
    return Map(a, b, [](float x, float y) { return x < y ? x : y; });
  }
  static Generic Max(const Generic& a, const Generic& b) {
    return Map(a, b, [](float x, float y) { return x > y ? x : y; });
  }
  static PassWord Less(const Generic& a, const Generic& b) {
    PassWord word = 0;
    ForEachLane([&](int64_t i) {
      word = static_cast<PassWord>(word | (a.v[i] < b.v[i]) << i);
    });
    return word;
  }
  static PassWord Inside(const Generic& low, const Generic& a,
                         const Generic& high) {
    PassWord word = 0;
    ForEachLane([&](int64_t i) {
      const bool inside = low.v[i] <= a.v[i] && a.v[i] <= high.v[i];
      word = static_cast<PassWord>(word | inside << i);
    });
    return word;
  }
  static Generic Keep(const Generic& a, PassWord pass) {
    Generic out;
    ForEachLane([&](int64_t i) { out.v[i] = pass >> i & 1 ? a.v[i] : 0.0f; });
    return out;
  }
  float Smallest() const { return Least(v); }
  float Largest() const { return Most(v); }
};

}  // namespace

const FakeQuantizeLoops kGenericLoops = {"generic", Quantize<Generic>,
                                         Pass<Generic>, MaxAbs<Generic>};

#if defined(__x86_64__)
int64_t CountFakeQuantizeLoops() {
  if (!__builtin_cpu_supports("avx2")) return 1;
  const bool avx512 =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return avx512 ? 3 : 2;
}

const FakeQuantizeLoops& FakeQuantizeLoopsAt(int64_t i) {
  const FakeQuantizeLoops* const all[] = {&kGenericLoops, &kAvx2Loops,
                                          &kAvx512Loops};
  return *all[i];
}
#else
int64_t CountFakeQuantizeLoops() { return 1; }

const FakeQuantizeLoops& FakeQuantizeLoopsAt(int64_t) { return kGenericLoops; }
#endif

const FakeQuantizeLoops& BestFakeQuantizeLoops() {
  static const FakeQuantizeLoops& best =
      FakeQuantizeLoopsAt(CountFakeQuantizeLoops() - 1);
  return best;
}

}  // namespace condense::runtime
