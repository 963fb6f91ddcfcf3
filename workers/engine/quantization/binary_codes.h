#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_BINARY_CODES_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_BINARY_CODES_H_

#include <torch/torch.h>

#include <cstdint>
#include <vector>

namespace condense::quantization {

struct BinaryCodes {
  // [outputs, K], on the levels.
  torch::Tensor weights;
  // One per output: levels are integers in [-qmax, qmax] times it.
  std::vector<float> scales;
};

// The weights of one layer as sums of `bits` numbers per output with signs, so
// that its outputs lose least: after Mr.BiQ, Jeon et al., CVPR 2022, without
// labels. It begins at what is nearest to the weights (runtime::FitBasis), then
// by turns: every code, one after the other, becomes the best for the others
// as they are, and v = (B^T H B)^-1 B^T H w the best for these signs. Levels
// are on the integer grid all along; the best turn is kept, so that the outputs
// never lose more than with the nearest codes.
//
// weights: [outputs, K] float32. hessian: [K, K] float64, the mean of x x^T
// over `rows` inputs, damped as RoundGptq's.
BinaryCodes FitBinaryCodes(const torch::Tensor& weights,
                           const torch::Tensor& hessian, int64_t rows, int bits,
                           int64_t qmax);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_BINARY_CODES_H_
