#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZER_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZER_H_

#include <cstdint>

namespace condense::quantization {

// The integers that a quantizer uses, both included.
struct Levels {
  int64_t qmin = 0;
  int64_t qmax = 255;
};

// Symmetric weights: -(2^(b-1) - 1) to 2^(b-1) - 1, so 127 at 8 bits, 63 at 7.
Levels WeightLevels(int bits);
// Activations: 0 to 2^b - 1, or -2^(b-1) to 2^(b-1) - 1.
Levels ActivationLevels(bool is_unsigned, int bits = 8);

// real = scale * (integer - zero_point).
struct Grid {
  float scale = 1;
  int32_t zero_point = 0;
};

// The affine grid of [low, high], widened to contain 0:
//   s = (high - low) / (qmax - qmin), z = clip(round(qmin - low / s)).
// An empty or constant range gives a positive scale.
Grid AffineGrid(double low, double high, Levels levels);
// The symmetric grid (z = the middle for unsigned levels, else 0).
Grid SymmetricGrid(double max_abs, Levels levels);
// The grid with the next power of two as its scale that holds what `grid` does.
Grid PowerOfTwoGrid(const Grid& grid, Levels levels);

// clip(round_half_even(x / s) + z, qmin, qmax), as ONNX QuantizeLinear.
int64_t QuantizeValue(float x, const Grid& grid, Levels levels);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZER_H_
