#include "workers/engine/quantization/soft_rounding.h"

namespace condense::quantization {
namespace {

// The rectified sigmoid reaches 0 and 1: zeta and gamma of the paper.
constexpr double kHigh = 1.1;
constexpr double kLow = -0.1;

}  // namespace

SoftRounding::SoftRounding(const torch::Tensor& weight,
                           const torch::Tensor& scale, Levels levels)
    : scale_(scale.detach()),
      floor_((weight.detach() / scale.detach()).floor()),
      levels_(levels) {
  const torch::Tensor share = weight.detach() / scale_ - floor_;
  variable_ = -((kHigh - kLow) / (share - kLow) - 1).log();
  variable_.set_requires_grad(true);
}

torch::Tensor SoftRounding::Share() const {
  return (variable_.sigmoid() * (kHigh - kLow) + kLow).clamp(0, 1);
}

torch::Tensor SoftRounding::Soft() const {
  return (floor_ + Share())
             .clamp(static_cast<double>(levels_.qmin),
                    static_cast<double>(levels_.qmax)) *
         scale_;
}

torch::Tensor SoftRounding::Hard() const {
  const torch::Tensor up = variable_.detach().ge(0).to(torch::kFloat32);
  return (floor_ + up)
             .clamp(static_cast<double>(levels_.qmin),
                    static_cast<double>(levels_.qmax)) *
         scale_;
}

torch::Tensor SoftRounding::Regularizer(double beta) const {
  return (1 - (2 * Share() - 1).abs().pow(beta)).sum();
}

}  // namespace condense::quantization
