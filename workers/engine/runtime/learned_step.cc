#include "workers/engine/runtime/learned_step.h"

#include <cmath>
#include <vector>

namespace condense::runtime {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kScaleMin = 1e-8;

Tensor Along(const Tensor& value, int64_t axis, int64_t rank) {
  if (value.numel() == 1) return value.reshape({});
  std::vector<int64_t> shape(rank, 1);
  shape[axis] = value.numel();
  return value.reshape(shape);
}

// Sums over all elements that share a scale.
Tensor SumPerScale(const Tensor& x, const Tensor& scale, int64_t axis) {
  if (scale.numel() == 1) return x.sum().reshape(scale.sizes());
  std::vector<int64_t> others;
  for (int64_t i = 0; i < x.dim(); ++i) {
    if (i != axis) others.push_back(i);
  }
  return x.sum(others);
}

class LearnedStepFunction
    : public torch::autograd::Function<LearnedStepFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x,
                        const Tensor& scale, const Tensor& zero_point,
                        FakeQuantizeOptions options, LearnedStep step) {
    const Tensor s = scale.clamp_min(kScaleMin);
    const Quantized out = FakeQuantizeByOperators({x, s, zero_point}, options);
    context->save_for_backward({x, s, out.y, out.pass, zero_point});
    context->saved_data["axis"] = options.axis;
    context->saved_data["qmax"] = options.qmax;
    context->saved_data["lsq"] = step == LearnedStep::kLsq;
    return out.y;
  }

  static variable_list backward(AutogradContext* context, variable_list grad) {
    const variable_list saved = context->get_saved_variables();
    const int64_t axis = context->saved_data["axis"].toInt();
    const double qmax =
        static_cast<double>(context->saved_data["qmax"].toInt());
    const Tensor &x = saved[0], &s = saved[1], &y = saved[2], &pass = saved[3];
    Tensor to_scale;
    if (context->saved_data["lsq"].toBool()) {
      // Inside (y - x) / s, outside y / s: the level less the zero point.
      const Tensor slope = (y - x * pass) / Along(s, axis, x.dim());
      const double per_scale =
          static_cast<double>(x.numel()) / static_cast<double>(s.numel());
      to_scale =
          SumPerScale(grad[0] * slope, s, axis) / std::sqrt(per_scale * qmax);
    } else {
      const Tensor levels = qmax - saved[4].to(torch::kFloat32);
      const Tensor above = pass.logical_not().logical_and_(
          y >= Along(s * levels, axis, x.dim()));
      to_scale = SumPerScale(grad[0] * above, s, axis) / levels;
    }
    return {grad[0] * pass, to_scale, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor LearnedFakeQuantize(const Tensor& x, const Tensor& scale,
                           const Tensor& zero_point,
                           const FakeQuantizeOptions& options,
                           LearnedStep step) {
  FakeQuantizeOptions plain = options;
  plain.before = Before::kNothing;
  return LearnedStepFunction::apply(x, scale, zero_point, plain, step);
}

}  // namespace condense::runtime
