#include "workers/engine/quantization/gptq.h"

#include <algorithm>
#include <cmath>

namespace condense::quantization {
namespace {

// The upper Cholesky factor of H^-1; undefined if there is none.
torch::Tensor FactorOf(const torch::Tensor& hessian) {
  const auto [lower, failed] = at::linalg_cholesky_ex(hessian);
  if (failed.item<int>() != 0) return torch::Tensor();
  const auto [factor, failed_too] =
      at::linalg_cholesky_ex(at::cholesky_inverse(lower), /*upper=*/true);
  return failed_too.item<int>() != 0 ? torch::Tensor()
                                     : factor.to(torch::kFloat32).contiguous();
}

// One row, in the order of the columns, as are scale and zero point; `factor`
// [K, K], null: no correction.
void RoundRow(const float* factor, int64_t size, const float* scale,
              const float* zero, Levels levels, float* row) {
  const float low = static_cast<float>(levels.qmin);
  const float high = static_cast<float>(levels.qmax);
  for (int64_t k = 0; k < size; ++k) {
    const float level =
        std::clamp(std::nearbyint(row[k] / scale[k]) + zero[k], low, high);
    const float rounded = (level - zero[k]) * scale[k];
    const float lost = row[k] - rounded;
    row[k] = rounded;
    if (factor == nullptr || lost == 0) continue;
    const float* u = factor + k * size;
    const float error = lost / u[k];
    for (int64_t j = k + 1; j < size; ++j) row[j] -= error * u[j];
  }
}

}  // namespace

torch::Tensor DampedHessian(const torch::Tensor& hessian, int64_t rows,
                            double damping) {
  const torch::Tensor eye = at::eye(hessian.size(0), hessian.options());
  const double mean = hessian.diagonal().mean().item<double>();
  if (!(mean > 0)) return eye;
  const double thin = static_cast<double>(hessian.size(0)) /
                      static_cast<double>(std::max<int64_t>(1, rows));
  return hessian + std::max(damping, std::min(1.0, 0.1 * thin)) * mean * eye;
}

torch::Tensor RoundGptq(const torch::Tensor& weights,
                        const torch::Tensor& hessian, int64_t rows,
                        const GptqGrid& grid, double damping) {
  const int64_t outputs = weights.size(0), size = weights.size(1);
  const torch::Tensor order = hessian.diagonal().argsort(0, true);
  const torch::Tensor sorted =
      hessian.index_select(0, order).index_select(1, order);
  const torch::Tensor factor = FactorOf(DampedHessian(sorted, rows, damping));
  const auto ordered = [&](const torch::Tensor& values) {
    return values.expand_as(weights).index_select(1, order).contiguous();
  };
  torch::Tensor out = ordered(weights);
  const torch::Tensor scale = ordered(grid.scale);
  const torch::Tensor zero = ordered(grid.zero_point);
  for (int64_t at = 0; at < outputs * size; at += size) {
    RoundRow(factor.defined() ? factor.data_ptr<float>() : nullptr, size,
             scale.data_ptr<float>() + at, zero.data_ptr<float>() + at,
             grid.levels, out.data_ptr<float>() + at);
  }
  return out.index_select(1, order.argsort());
}

}  // namespace condense::quantization
