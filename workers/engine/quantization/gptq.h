#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_GPTQ_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_GPTQ_H_

#include <torch/torch.h>

#include <vector>

#include "workers/engine/quantization/quantizer.h"

namespace condense::quantization {

// Rounds the weights of one layer so that its outputs lose least: GPTQ,
// Frantar et al., arXiv:2210.17323. Column after column is rounded, and what
// that loses is made up for by the columns to come, through the inverse of
// H = X^T X (Cholesky form). Columns go by falling second moment.
//
// weights: [outputs, K] float32, returned on the grid. hessian: [K, K] float64,
// the mean of x x^T over `rows` inputs; its diagonal gets `damping` of its mean
// added, more where rows are fewer than columns. scales: one per output.
torch::Tensor RoundGptq(const torch::Tensor& weights,
                        const torch::Tensor& hessian, int64_t rows,
                        const std::vector<float>& scales, Levels levels,
                        double damping = 0.01);

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_GPTQ_H_
