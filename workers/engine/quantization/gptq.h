#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_GPTQ_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_GPTQ_H_

#include <torch/torch.h>

#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {

// H = X^T X / rows with `damping` of the mean of its diagonal added to that,
// more where `rows` are fewer than columns; the identity where no input was
// ever other than 0.
torch::Tensor DampedHessian(const torch::Tensor& hessian, int64_t rows,
                            double damping = 0.01);

// What weights are rounded to: scale and zero point (float32) broadcast to
// them.
struct GptqGrid {
  torch::Tensor scale;
  torch::Tensor zero_point;
  Levels levels;
};

// Rounds the weights of one layer so that its outputs lose least: GPTQ,
// Frantar et al., arXiv:2210.17323. Column after column is rounded, and what
// that loses is made up for by the columns to come, through the inverse of
// H = X^T X (Cholesky form). Columns go by falling second moment.
//
// weights: [outputs, K] float32, returned on the grid. hessian: [K, K] float64,
// the mean of x x^T over `rows` inputs, which DampedHessian is taken of.
torch::Tensor RoundGptq(const torch::Tensor& weights,
                        const torch::Tensor& hessian, int64_t rows,
                        const GptqGrid& grid, double damping = 0.01);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_GPTQ_H_
