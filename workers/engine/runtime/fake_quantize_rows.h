#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_ROWS_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_ROWS_H_

// The inner loops of fake quantization on the CPU, written once
// (fake_quantize_loops.h) and compiled for three instruction sets; no LibTorch.
// One call handles one row: elements that lie one after the other. For GPUs
// there is fake_quantize_element.h.

#include <algorithm>
#include <cstdint>

namespace condense::runtime {

// What is computed before the quantizer, in the same pass.
enum class Before {
  kNothing,
  // max(x, 0); gradient where x > 0.
  kRelu,
  // min(max(x, low), high); gradient where low <= x <= high.
  kClip
};

// One bit per element, 16 to a word, the first element lowest: set where the
// gradient passes. Rows start at a word.
using PassWord = uint16_t;
constexpr int64_t kPassWordBits = 16;
constexpr int64_t PassWords(int64_t n) {
  return (n + kPassWordBits - 1) / kPassWordBits;
}

// y = (clip(round_half_even(v / scale) + zero_point, qmin, qmax) - zero_point)
//     * scale, where v = before(x + addend),
// each operation rounded to float as in ONNX's QuantizeLinear and
// DequantizeLinear. Infinities saturate; NaN stays NaN and passes no gradient.
struct FakeQuantizeRow {
  // float, or bfloat16 if `bf16` (computed in float). y may be x.
  const void* x = nullptr;
  const void* addend = nullptr;  // May be null.
  void* y = nullptr;
  int64_t n = 0;
  bool bf16 = false;
  // One of each, or one per element if `each`.
  const float* scale = nullptr;
  const float* zero_point = nullptr;
  bool each = false;
  float qmin = 0;
  float qmax = 255;
  Before before = Before::kNothing;
  float clip_low = 0;
  float clip_high = 0;
  // Where not null: PassWords(n) words.
  PassWord* pass = nullptr;
  // Where not null: {smallest, largest}, widened to hold every v but NaN.
  float* seen = nullptr;
};

// A dense tensor in the order of its memory as rows of elements that share a
// scale, or that have one each. Row r, in units of elements:
//   begins at  r / per_group * group_size + r % per_group * step,
//   has        min(step, what is left of its group),
//   scale at   (r / per_group * scale_group + r % per_group / scale_every)
//              * scale_step.
struct FakeQuantizeLayout {
  struct Row {
    int64_t begin;
    int64_t n;
    int64_t scale;
  };
  int64_t count = 0;
  int64_t per_group = 1;
  int64_t group_size = 0;
  int64_t step = 0;
  int64_t scale_group = 0;
  int64_t scale_every = 1;
  int64_t scale_step = 0;
  // Each element of a row has its own scale.
  bool each = false;

  Row At(int64_t r) const {
    const int64_t group = r / per_group, in_group = r % per_group;
    return {group * group_size + in_group * step,
            std::min(step, group_size - in_group * step),
            (group * scale_group + in_group / scale_every) * scale_step};
  }
};

// out = pass ? grad : 0. `out` may be `grad`.
struct PassRow {
  const void* grad = nullptr;
  const PassWord* pass = nullptr;
  void* out = nullptr;
  int64_t n = 0;
  bool bf16 = false;
};

struct FakeQuantizeLoops {
  // "avx512", "avx2" or "generic".
  const char* name;
  void (*quantize)(const FakeQuantizeRow& row);
  void (*pass)(const PassRow& row);
  // The largest |x|, NaN passed over.
  float (*max_abs)(const float* x, int64_t n);
};

// The fastest that this processor runs.
const FakeQuantizeLoops& BestFakeQuantizeLoops();
// Every one that it runs, the slowest first.
int64_t CountFakeQuantizeLoops();
const FakeQuantizeLoops& FakeQuantizeLoopsAt(int64_t i);

// What the files per instruction set define.
extern const FakeQuantizeLoops kGenericLoops;
extern const FakeQuantizeLoops kAvx2Loops;
extern const FakeQuantizeLoops kAvx512Loops;

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_FAKE_QUANTIZE_ROWS_H_
