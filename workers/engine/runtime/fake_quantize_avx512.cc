// Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl; called only where
// the processor has them.

#include <immintrin.h>

#include "workers/engine/runtime/fake_quantize_loops.h"

namespace condense::runtime {
namespace {

struct Avx512 {
  __m512 v;

  static Avx512 Fill(float x) { return {_mm512_set1_ps(x)}; }
  static Avx512 Load(const float* x) { return {_mm512_loadu_ps(x)}; }
  static Avx512 Load(const BFloat16* x) {
    const __m256i half =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
    return {_mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
  }
  static void Store(Avx512 a, float* y) { _mm512_storeu_ps(y, a.v); }
  // Rounds to even; NaN keeps its upper bits and stays NaN.
  static void Store(Avx512 a, BFloat16* y) {
    const __m512i bits = _mm512_castps_si512(a.v);
    const __m512i odd =
        _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(
        bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __m512i out =
        _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y),
                        _mm512_cvtepi32_epi16(out));
  }
  static Avx512 Add(Avx512 a, Avx512 b) { return {_mm512_add_ps(a.v, b.v)}; }
  static Avx512 Subtract(Avx512 a, Avx512 b) {
    return {_mm512_sub_ps(a.v, b.v)};
  }
  static Avx512 Multiply(Avx512 a, Avx512 b) {
    return {_mm512_mul_ps(a.v, b.v)};
  }
  static Avx512 Divide(Avx512 a, Avx512 b) { return {_mm512_div_ps(a.v, b.v)}; }
  static Avx512 Round(Avx512 a) {
    return {_mm512_roundscale_ps(
        a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static Avx512 Abs(Avx512 a) { return {_mm512_abs_ps(a.v)}; }
  static Avx512 Min(Avx512 a, Avx512 b) { return {_mm512_min_ps(a.v, b.v)}; }
  static Avx512 Max(Avx512 a, Avx512 b) { return {_mm512_max_ps(a.v, b.v)}; }
  static PassWord Less(Avx512 a, Avx512 b) {
    return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ);
  }
  static PassWord Inside(Avx512 low, Avx512 a, Avx512 high) {
    return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(low.v, a.v, _CMP_LE_OQ),
                                   a.v, high.v, _CMP_LE_OQ);
  }
  static Avx512 Keep(Avx512 a, PassWord pass) {
    return {_mm512_maskz_mov_ps(pass, a.v)};
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

const FakeQuantizeLoops kAvx512Loops = {"avx512", Quantize<Avx512>,
                                        Pass<Avx512>, MaxAbs<Avx512>};

}  // namespace condense::runtime
