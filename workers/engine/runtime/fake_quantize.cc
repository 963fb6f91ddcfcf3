#include "workers/engine/runtime/fake_quantize.h"

#include <torch/csrc/autograd/functions/utils.h>

#include <utility>

#include "workers/engine/runtime/fake_quantize_cpu.h"
#include "workers/engine/runtime/fake_quantize_layout.h"
#include "workers/engine/runtime/learned_step.h"
#include "workers/engine/runtime/step.h"
#include "workers/engine/runtime/table_quantize.h"
#include "workers/engine/runtime/weight_grid.h"
#ifdef CONDENSE_CUDA
#include "workers/engine/runtime/fake_quantize_cuda.h"
#endif

namespace condense::runtime {
namespace {

using torch::Tensor;
using torch::autograd::Node;
using torch::autograd::variable_list;

// The gradient goes on as it is, or where the bits say. To x, and to addend.
class PassGradient : public Node {
 public:
  variable_list apply(variable_list&& grads) override {
    Tensor grad = std::move(grads[0]);
    if (pass.defined()) grad = Pass(std::move(grad));
    return {grad, task_should_compute_output(1) ? grad : Tensor()};
  }
  void release_variables() override { pass.reset(); }

  // Undefined: passes everywhere.
  Tensor pass;
  FakeQuantizeLayout layout;
  std::vector<int64_t> strides;

 private:
  Tensor Pass(Tensor grad) const {
    const at::NoGradGuard no_grad;
    if (pass.scalar_type() == torch::kBool) return grad * pass;
    const bool as_x = grad.strides() == at::IntArrayRef(strides);
    // Nobody else holds it: it is written over.
    const bool own = grad.use_count() == 1 && grad.storage().use_count() == 1;
    Tensor out = grad;
    if (!as_x || !own) {
      out = at::empty_strided(grad.sizes(), strides, grad.options());
      if (!as_x) grad = out.copy_(grad);
    }
#ifdef CONDENSE_CUDA
    if (grad.is_cuda()) {
      PassGradientCuda(grad, pass, out);
      return out;
    }
#endif
    PassGradientCpu(grad, pass, layout, out);
    return out;
  }
};

bool NeedsGradient(const Tensor& x) {
  return x.defined() && x.requires_grad() && at::GradMode::is_enabled();
}

bool HasKernel(const Tensor& x) {
  if (x.scalar_type() != torch::kFloat32 &&
      x.scalar_type() != torch::kBFloat16) {
    return false;
  }
#ifdef CONDENSE_CUDA
  if (x.is_cuda()) return true;
#endif
  return x.is_cpu();
}

// What the kernels ask for: dense, and addend in the same order.
FakeQuantizeInputs Dense(const FakeQuantizeInputs& inputs) {
  FakeQuantizeInputs out = inputs;
  if (inputs.addend.defined() && inputs.addend.sizes() != inputs.x.sizes()) {
    out.x = at::add(inputs.x, inputs.addend);
    out.addend = Tensor();
  }
  if (!out.x.is_non_overlapping_and_dense()) out.x = out.x.contiguous();
  if (out.addend.defined() && (out.addend.strides() != out.x.strides() ||
                               out.addend.dtype() != out.x.dtype())) {
    out.addend =
        at::empty_strided(out.x.sizes(), out.x.strides(), out.x.options())
            .copy_(out.addend);
  }
  return out;
}

// As FakeQuantizeCpu, on the device of x.
Tensor Run(const FakeQuantizeInputs& inputs, const FakeQuantizeOptions& options,
           const LaidOut& laid, bool want_pass, const Tensor& y) {
#ifdef CONDENSE_CUDA
  if (inputs.x.is_cuda()) {
    return FakeQuantizeCuda(inputs, options, laid, want_pass, y);
  }
#endif
  return FakeQuantizeCpu(inputs, options, laid, want_pass, y);
}

// The quantized tensor (inputs.x itself, if in place) and what is kept for the
// backward pass in `node`, which may be null.
Tensor Compute(const FakeQuantizeInputs& given,
               const FakeQuantizeOptions& options, PassGradient* node) {
  const at::NoGradGuard no_grad;
  if (!HasKernel(given.x)) {
    Quantized out = FakeQuantizeByOperators(given, options);
    if (node != nullptr) node->pass = out.pass;
    return out.y;
  }
  const FakeQuantizeInputs inputs = Dense(given);
  const bool in_place = options.in_place && inputs.x.is_same(given.x);
  const LaidOut laid = LayOut(inputs.x, inputs.scale, inputs.zero_point,
                              options.axis, options.block);
  const Tensor y = in_place
                       ? inputs.x
                       : at::empty_strided(inputs.x.sizes(), inputs.x.strides(),
                                           inputs.x.options());
  const Tensor pass = Run(inputs, options, laid, node != nullptr, y);
  if (node != nullptr) {
    node->pass = pass;
    node->layout = laid.layout;
    node->strides = y.strides().vec();
  }
  return y;
}

absl::StatusOr<FakeQuantizeOptions> OptionsOf(const KernelContext& c) {
  FakeQuantizeOptions options;
  options.axis = c.node.Int("axis", -1);
  options.block = c.node.Int("block_size", 0);
  options.qmin = c.node.Int("qmin", 0);
  options.qmax = c.node.Int("qmax", 255);
  options.in_place = c.node.Int("in_place", 0) != 0;
  options.clip_low = c.node.Float("clip_low", 0);
  options.clip_high = c.node.Float("clip_high", 0);
  const std::string before = c.node.String("before", "");
  if (before == "Relu") {
    options.before = Before::kRelu;
  } else if (before == "Clip") {
    options.before = Before::kClip;
  } else if (!before.empty()) {
    return c.Unsupported("after " + before);
  }
  return options;
}

// On the grid that it gives itself, which is written to scale and zero_point.
Tensor FakeQuantizeFitted(const FakeQuantizeInputs& inputs,
                          const FakeQuantizeOptions& options) {
  {
    const at::NoGradGuard no_grad;
    const FittedGrid grid = FitGrid(inputs.x, options);
    inputs.scale.copy_(grid.scale);
    inputs.zero_point.copy_(grid.zero_point);
  }
  return FakeQuantize(inputs, options);
}

// A weight by the table of its channel: "lq" or "lut" as the projection.
Kernel TableKernel(const FakeQuantizeOptions& given, const std::string& name) {
  TableQuantizeOptions options;
  options.kind = name == "lq" ? TableKind::kBasis : TableKind::kLevels;
  options.axis = given.axis;
  options.qmax = given.qmax;
  return [options](const Call& call) {
    TableQuantizeOptions now = options;
    now.follow =
        options.kind == TableKind::kBasis && call.training && !call.replay;
    return std::vector<Tensor>{
        TableQuantize({call.in[0], call.in[3], call.in[1]}, now)};
  };
}

// Inputs x, scale, zero_point[, range or table][, addend]. With `rows` x is a
// weight that counts as [dims[0], the rest]. `range` is {low, high, seen low,
// seen high}; in training its second half is widened by what is seen. `table`
// is that of TableKernel.
absl::StatusOr<Kernel> FakeQuantizeKernel(const KernelContext& c) {
  auto options = OptionsOf(c);
  if (!options.ok()) return options.status();
  const std::string name = c.node.String("projection", "");
  if (name == "lq" || name == "lut") return TableKernel(*options, name);
  const auto projection = ProjectionOf(name);
  const bool fitted = name == "fit", rows = c.node.Int("rows", 0) != 0;
  const std::string learned = c.node.String("learned", "");
  return Kernel([options = *options, projection, fitted, rows,
                 learned](const Call& call) {
    if (fitted || rows) {
      const Tensor x = rows ? AsRows(call.in[0]) : call.in[0];
      const FakeQuantizeInputs weight{x, call.in[1], call.in[2]};
      const Tensor y = fitted ? FakeQuantizeFitted(weight, options)
                              : FakeQuantize(weight, options);
      return std::vector<Tensor>{y.reshape(call.in[0].sizes())};
    }
    if (projection) {
      return std::vector<Tensor>{
          FakeQuantizeWeight(call.in[0], call.in[1], options, *projection)};
    }
    if (!learned.empty()) {
      const Tensor v = BeforeQuantizer(call.in[0], call.Optional(4), options);
      const LearnedStep step =
          learned == "pact" ? LearnedStep::kPact : LearnedStep::kLsq;
      return std::vector<Tensor>{
          LearnedFakeQuantize(v, call.in[1], call.in[2], options, step)};
    }
    FakeQuantizeInputs inputs{call.in[0], call.in[1], call.in[2],
                              call.Optional(4)};
    if (call.training && !call.replay && call.Has(3)) {
      inputs.seen = call.in[3].slice(0, 2, 4);
    }
    return std::vector<Tensor>{FakeQuantize(inputs, options)};
  });
}

}  // namespace

Tensor BeforeQuantizer(const Tensor& x, const Tensor& addend,
                       const FakeQuantizeOptions& options) {
  const Tensor v = addend.defined() ? x + addend : x;
  switch (options.before) {
    case Before::kRelu:
      return at::relu(v);
    case Before::kClip:
      return at::clamp(v, options.clip_low, options.clip_high);
    default:
      return v;
  }
}

Quantized FakeQuantizeByOperators(const FakeQuantizeInputs& inputs,
                                  const FakeQuantizeOptions& options) {
  const Tensor sum =
      BeforeQuantizer(inputs.x.to(torch::kFloat32), inputs.addend, {});
  const Tensor v = BeforeQuantizer(sum, {}, options);
  Tensor pass;
  if (options.before == Before::kRelu) {
    pass = sum > 0;
  } else if (options.before == Before::kClip) {
    pass = (sum >= options.clip_low).logical_and_(sum <= options.clip_high);
  }
  if (inputs.seen.defined()) {
    const Tensor low = at::nan_to_num(v, HUGE_VAL).min();
    const Tensor high = at::nan_to_num(v, -HUGE_VAL).max();
    inputs.seen.copy_(at::stack(
        {at::minimum(inputs.seen[0], low), at::maximum(inputs.seen[1], high)}));
  }
  const Tensor s = SpreadGrid(inputs.scale, v, options);
  const Tensor z =
      SpreadGrid(inputs.zero_point, v, options).to(torch::kFloat32);
  // Division, not multiplication by 1/s: QuantizeLinear divides.
  const Tensor level = at::div(v, s).round_().add_(z);
  const Tensor inside =
      (level >= options.qmin).logical_and_(level <= options.qmax);
  return {at::clamp(level, options.qmin, options.qmax)
              .sub_(z)
              .mul_(s)
              .to(inputs.x.scalar_type()),
          pass.defined() ? pass.logical_and_(inside) : inside};
}

Tensor FakeQuantize(const FakeQuantizeInputs& inputs,
                    const FakeQuantizeOptions& options) {
  std::shared_ptr<PassGradient> node;
  if (NeedsGradient(inputs.x) || NeedsGradient(inputs.addend)) {
    node = std::make_shared<PassGradient>();
    node->set_next_edges(
        torch::autograd::collect_next_edges(inputs.x, inputs.addend));
  }
  Tensor y = Compute(inputs, options, node.get());
  const bool in_place = y.is_same(inputs.x);
  if (in_place) torch::autograd::impl::bump_version(y);
  if (node != nullptr) {
    if (in_place) {
      const uint32_t at = node->add_input_metadata(y);
      torch::autograd::impl::rebase_history(y, {node, at});
    } else {
      torch::autograd::set_history(y, node);
    }
  }
  return y;
}

Tensor FakeQuantizeWeight(const Tensor& w, const Tensor& scale,
                          const FakeQuantizeOptions& options,
                          Projection projection) {
  std::shared_ptr<PassGradient> node;
  if (NeedsGradient(w)) {
    node = std::make_shared<PassGradient>();
    node->set_next_edges(torch::autograd::collect_next_edges(w, Tensor()));
  }
  Tensor y;
  {
    const at::NoGradGuard no_grad;
    Tensor plain = w.detach().to(torch::kCPU, torch::kFloat32);
    // Rows along the first axis are together in channels_last too.
    const bool rows = options.axis == 0 &&
                      plain.is_non_overlapping_and_dense() &&
                      plain.stride(0) * plain.size(0) == plain.numel();
    if (!rows || projection != Projection::kMaxAbs) plain = plain.contiguous();
    const Tensor scales = scale.to(torch::kCPU);
    y = at::empty_like(plain);
    ProjectWeightCpu(plain, scales, options, projection, y);
    if (!scale.is_cpu()) scale.copy_(scales);
    y = y.to(w.device(), w.scalar_type());
  }
  if (node != nullptr) torch::autograd::set_history(y, node);
  return y;
}

void AddQuantizationKernels(KernelTable* table) {
  (*table)["condense::FakeQuantize"] = FakeQuantizeKernel;
  AddQuantizeLinearKernels(table);
}

}  // namespace condense::runtime
