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

absl::StatusOr<Kernel> QuantizeLinear(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 1);
  return Kernel([axis](const Call& call) {
    const Tensor &x = call.in[0], &scale = call.in[1];
    const bool has_zero = call.in.size() > 2 && call.in[2].defined();
    const auto type = has_zero ? call.in[2].scalar_type() : torch::kUInt8;
    const int64_t at = scale.dim() == 0 ? -1 : axis;
    Tensor level = at::round(x / Along(scale, at, x.dim()));
    if (has_zero) {
      level = level + Along(call.in[2], at, x.dim()).to(torch::kFloat32);
    }
    const bool is_unsigned = type == torch::kUInt8;
    return std::vector<Tensor>{
        at::clamp(level, is_unsigned ? 0 : -128, is_unsigned ? 255 : 127)
            .to(type)};
  });
}

absl::StatusOr<Kernel> DequantizeLinear(const KernelContext& c) {
  const int64_t axis = c.node.Int("axis", 1);
  return Kernel([axis](const Call& call) {
    const Tensor &x = call.in[0], &scale = call.in[1];
    const int64_t at = scale.dim() == 0 ? -1 : axis;
    Tensor level = x.to(torch::kFloat32);
    if (call.in.size() > 2 && call.in[2].defined()) {
      level = level - Along(call.in[2], at, x.dim()).to(torch::kFloat32);
    }
    return std::vector<Tensor>{level * Along(scale, at, x.dim())};
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
  (*table)["QuantizeLinear"] = QuantizeLinear;
  (*table)["DequantizeLinear"] = DequantizeLinear;
}

}  // namespace condense::runtime
