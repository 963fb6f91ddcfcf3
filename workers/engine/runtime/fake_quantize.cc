#include "workers/engine/runtime/fake_quantize.h"

#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [C] so that it broadcasts along `axis` of a tensor with `rank` dimensions.
Tensor Along(const Tensor& value, int64_t axis, int64_t rank) {
  if (axis < 0 || value.dim() == 0) return value;
  std::vector<int64_t> shape(rank, 1);
  shape[axis] = value.numel();
  return value.view(shape);
}

class FakeQuantizeFunction
    : public torch::autograd::Function<FakeQuantizeFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& x,
                        const Tensor& scale, const Tensor& zero_point,
                        int64_t axis, int64_t qmin, int64_t qmax) {
    const Tensor s = Along(scale, axis, x.dim());
    const Tensor z = Along(zero_point, axis, x.dim()).to(torch::kFloat32);
    // Division, not multiplication by 1/s: QuantizeLinear divides.
    const Tensor level = at::div(x, s).round_().add_(z);
    context->save_for_backward({(level >= qmin).logical_and_(level <= qmax)});
    return level.clamp_(qmin, qmax).sub_(z).mul_(s);
  }

  static variable_list backward(AutogradContext* context, variable_list grad) {
    const Tensor mask = context->get_saved_variables()[0];
    return {grad[0] * mask, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

absl::StatusOr<Kernel> FakeQuantizeKernel(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", -1);
  const int64_t qmin = c.node.Int("qmin", 0), qmax = c.node.Int("qmax", 255);
  return Kernel([=](const Call& call) {
    return std::vector<Tensor>{
        FakeQuantize(call.in[0], call.in[1], call.in[2], axis, qmin, qmax)};
  });
}

}  // namespace

Tensor FakeQuantize(const Tensor& x, const Tensor& scale,
                    const Tensor& zero_point, int64_t axis, int64_t qmin,
                    int64_t qmax) {
  return FakeQuantizeFunction::apply(x, scale, zero_point, axis, qmin, qmax);
}

void AddQuantizationKernels(KernelTable* table) {
  (*table)["condense::FakeQuantize"] = FakeQuantizeKernel;
  AddQuantizeLinearKernels(table);
}

}  // namespace condense::runtime
