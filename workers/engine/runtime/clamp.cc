#include "workers/engine/runtime/clamp.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class LowClamp : public torch::autograd::Function<LowClamp> {
 public:
  static Tensor forward(AutogradContext* context, Tensor x, double low,
                        double high, bool in_place) {
    if (in_place) {
      x.clamp_(low, high);
      context->mark_dirty({x});
    } else {
      x = x.clamp(low, high);
    }
    context->save_for_backward({x});
    context->saved_data["low"] = low;
    context->saved_data["high"] = high;
    return x;
  }

  static variable_list backward(AutogradContext* context, variable_list grad) {
    const Tensor y = context->get_saved_variables()[0];
    const double low = context->saved_data["low"].toDouble();
    const double high = context->saved_data["high"].toDouble();
    Tensor passed = at::threshold_backward(grad[0], y, low);
    passed.masked_fill_(y >= high, 0);
    return {passed, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor Clamp(const Tensor& x, double low, double high, bool in_place) {
  const bool whole =
      x.scalar_type() == torch::kFloat32 || x.scalar_type() == torch::kFloat64;
  if (!whole) return LowClamp::apply(x, low, high, in_place);
  if (!in_place) return at::hardtanh(x, low, high);
  Tensor y = x;
  return at::hardtanh_(y, low, high);
}

}  // namespace condense::runtime
