#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_ELEMENT_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_ELEMENT_H_

// Fake quantization of one element, for processors with a thread for each one:
// what the rows of fake_quantize_rows.h give, bit for bit. Compiled for GPUs in
// fake_quantize_kernels.cu and for the CPU in its test. C++17, no LibTorch.

#include <cmath>
#include <cstdint>

#include "workers/engine/runtime/fake_quantize_rows.h"

#ifdef __CUDACC__
#define CONDENSE_HOST_DEVICE __host__ __device__
#else
#define CONDENSE_HOST_DEVICE
#endif

namespace condense::runtime {

// A dense tensor whose elements, in the order of its memory, are quantized in
// any order. T is a type that converts from and to float. Pointers are to the
// memory of the processor that runs it.
template <typename T>
struct FakeQuantizeElements {
  const T* x = nullptr;
  const T* addend = nullptr;  // May be null.
  T* y = nullptr;             // May be x.
  int64_t n = 0;
  FakeQuantizeLayout layout;
  const float* scale = nullptr;
  const float* zero_point = nullptr;
  float qmin = 0;
  float qmax = 255;
  Before before = Before::kNothing;
  float clip_low = 0;
  float clip_high = 0;
  // Where not null: n bytes, 1 where the gradient passes.
  uint8_t* pass = nullptr;

  // Which scale element i has.
  CONDENSE_HOST_DEVICE int64_t ScaleOf(int64_t i) const {
    const FakeQuantizeLayout& l = layout;
    if (l.scale_step == 0 && !l.each) return 0;
    const int64_t group = i / l.group_size, rest = i % l.group_size;
    const int64_t in_group = rest / l.step;
    const int64_t row =
        (group * l.scale_group + in_group / l.scale_every) * l.scale_step;
    return l.each ? row + rest % l.step : row;
  }

  // Writes y[i] and pass[i]; returns what entered the quantizer. No product
  // meets a sum here that a compiler could contract.
  CONDENSE_HOST_DEVICE float Quantize(int64_t i) const {
    float v = static_cast<float>(x[i]);
    if (addend != nullptr) v += static_cast<float>(addend[i]);
    bool passes = true;
    // Comparisons, not fmin and fmax, which would lose NaN.
    if (before == Before::kRelu) {
      passes = v > 0;
      v = v < 0 ? 0 : v;
    } else if (before == Before::kClip) {
      passes = v >= clip_low && v <= clip_high;
      v = v < clip_low ? clip_low : v;
      v = v > clip_high ? clip_high : v;
    }
    const int64_t at = ScaleOf(i);
    const float s = scale[at], z = zero_point[at];
    float level = rintf(v / s) + z;
    passes = passes && level >= qmin && level <= qmax;
    level = level < qmin ? qmin : level;
    level = level > qmax ? qmax : level;
    y[i] = static_cast<T>((level - z) * s);
    if (pass != nullptr) pass[i] = passes;
    return v;
  }
};

// Widens [low, high] to hold v; NaN is passed over.
CONDENSE_HOST_DEVICE inline void Widen(float v, float* low, float* high) {
  *low = v < *low ? v : *low;
  *high = v > *high ? v : *high;
}

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_ELEMENT_H_
