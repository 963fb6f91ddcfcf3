// Compiled with -mavx2; called only where the processor has it.

#include <immintrin.h>

#include "workers/engine/runtime/fake_quantize_loops.h"

namespace condense::runtime {
namespace {

// Sixteen floats in two registers.
struct Avx2 {
  __m256 a;
  __m256 b;

  static Avx2 Fill(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Avx2 Load(const float* x) {
    return {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8)};
  }
  static Avx2 Load(const BFloat16* x) {
    const auto half = [](const BFloat16* from) {
      const __m128i bits =
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
      return _mm256_castsi256_ps(
          _mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
    };
    return {half(x), half(x + 8)};
  }
  static void Store(Avx2 v, float* y) {
    _mm256_storeu_ps(y, v.a);
    _mm256_storeu_ps(y + 8, v.b);
  }
  // Rounds to even; NaN keeps its upper bits and stays NaN.
  static void Store(Avx2 v, BFloat16* y) {
    const auto narrow = [](__m256 x) {
      const __m256i bits = _mm256_castps_si256(x);
      const __m256i odd =
          _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
      const __m256i rounded = _mm256_add_epi32(
          bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
      const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
      const __m256i nan =
          _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
      return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    };
    // Packing works on halves of 128 bits, which the permutation puts right.
    const __m256i packed = _mm256_packus_epi32(narrow(v.a), narrow(v.b));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y),
                        _mm256_permute4x64_epi64(packed, 0xd8));
  }
  static Avx2 Add(Avx2 x, Avx2 y) {
    return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
  }
  static Avx2 Subtract(Avx2 x, Avx2 y) {
    return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
  }
  static Avx2 Multiply(Avx2 x, Avx2 y) {
    return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
  }
  static Avx2 Divide(Avx2 x, Avx2 y) {
    return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
  }
  static Avx2 Round(Avx2 x) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(x.a, kNearest), _mm256_round_ps(x.b, kNearest)};
  }
  static Avx2 Abs(Avx2 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
  }
  static Avx2 Min(Avx2 x, Avx2 y) {
    return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
  }
  static Avx2 Max(Avx2 x, Avx2 y) {
    return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
  }
  static PassWord Word(__m256 low, __m256 high) {
    return static_cast<PassWord>(_mm256_movemask_ps(low) |
                                 _mm256_movemask_ps(high) << 8);
  }
  static PassWord Less(Avx2 x, Avx2 y) {
    return Word(_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ),
                _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ));
  }
  static PassWord Inside(Avx2 low, Avx2 x, Avx2 high) {
    return Word(_mm256_and_ps(_mm256_cmp_ps(low.a, x.a, _CMP_LE_OQ),
                              _mm256_cmp_ps(x.a, high.a, _CMP_LE_OQ)),
                _mm256_and_ps(_mm256_cmp_ps(low.b, x.b, _CMP_LE_OQ),
                              _mm256_cmp_ps(x.b, high.b, _CMP_LE_OQ)));
  }
  static Avx2 Keep(Avx2 x, PassWord pass) {
    const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const auto half = [bit](__m256 v, int bits) {
      const __m256i set = _mm256_cmpeq_epi32(
          _mm256_and_si256(_mm256_set1_epi32(bits), bit), bit);
      return _mm256_and_ps(v, _mm256_castsi256_ps(set));
    };
    return {half(x.a, pass), half(x.b, pass >> 8)};
  }
  float Smallest() const {
    float lanes[kLanes];
    Store(*this, lanes);
    return Least(lanes);
  }
  float Largest() const {
    float lanes[kLanes];
    Store(*this, lanes);
    return Most(lanes);
  }
};

}  // namespace

const FakeQuantizeLoops kAvx2Loops = {"avx2", Quantize<Avx2>, Pass<Avx2>,
                                      MaxAbs<Avx2>};

}  // namespace condense::runtime
