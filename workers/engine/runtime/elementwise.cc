// Activations, arithmetic and comparisons.

#include "common/status_macros.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

KernelMaker Unary(Tensor (*function)(const Tensor&)) {
  return [function](const KernelContext&) -> absl::StatusOr<Kernel> {
    return Kernel([function](const Call& call) {
      return std::vector<Tensor>{function(call.in[0])};
    });
  };
}

KernelMaker Binary(Tensor (*function)(const Tensor&, const Tensor&)) {
  return [function](const KernelContext&) -> absl::StatusOr<Kernel> {
    return Kernel([function](const Call& call) {
      Tensor y = call.in[0];
      for (size_t i = 1; i < call.in.size(); ++i) y = function(y, call.in[i]);
      return std::vector<Tensor>{y};
    });
  };
}

Tensor Divide(const Tensor& a, const Tensor& b) {
  if (a.is_floating_point()) return at::div(a, b);
  return at::div(a, b, "trunc");
}

absl::StatusOr<Kernel> Clip(const KernelContext& c) {
  CONDENSE_ASSIGN_OR_RETURN(auto low, c.Floats(1));
  CONDENSE_ASSIGN_OR_RETURN(auto high, c.Floats(2));
  c10::optional<at::Scalar> min, max;
  if (low && !low->empty()) min = (*low)[0];
  if (high && !high->empty()) max = (*high)[0];
  return Kernel([min, max](const Call& call) {
    if (!min && !max) return std::vector<Tensor>{call.in[0]};
    return std::vector<Tensor>{at::clamp(call.in[0], min, max)};
  });
}

absl::StatusOr<Kernel> LeakyRelu(const KernelContext& c) {
  const double slope = c.node.Float("alpha", 0.01f);
  return Kernel([slope](const Call& call) {
    return std::vector<Tensor>{at::leaky_relu(call.in[0], slope)};
  });
}

absl::StatusOr<Kernel> Elu(const KernelContext& c) {
  const double alpha = c.node.Float("alpha", 1.0f);
  return Kernel([alpha](const Call& call) {
    return std::vector<Tensor>{at::elu(call.in[0], alpha)};
  });
}

absl::StatusOr<Kernel> PRelu(const KernelContext&) {
  return Kernel([](const Call& call) {
    const Tensor &x = call.in[0], &slope = call.in[1];
    return std::vector<Tensor>{at::relu(x) + slope * at::clamp_max(x, 0)};
  });
}

absl::StatusOr<Kernel> HardSigmoid(const KernelContext& c) {
  const double alpha = c.node.Float("alpha", 0.2f);
  const double beta = c.node.Float("beta", 0.5f);
  return Kernel([=](const Call& call) {
    return std::vector<Tensor>{at::clamp(call.in[0] * alpha + beta, 0, 1)};
  });
}

KernelMaker SoftmaxOf(Tensor (*function)(const Tensor&, int64_t)) {
  return [function](const KernelContext& c) -> absl::StatusOr<Kernel> {
    const int64_t axis = c.node.Int("axis", -1);
    return Kernel([function, axis](const Call& call) {
      return std::vector<Tensor>{function(call.in[0], axis)};
    });
  };
}

absl::StatusOr<Kernel> Cast(const KernelContext& c) {
  static const auto& types = *new std::map<std::string, torch::ScalarType>{
      {"float32", torch::kFloat32}, {"float64", torch::kFloat64},
      {"int32", torch::kInt32},     {"int64", torch::kInt64},
      {"int8", torch::kInt8},       {"uint8", torch::kUInt8},
      {"bool", torch::kBool},       {"float16", torch::kFloat16}};
  auto it = types.find(c.node.String("to", ""));
  if (it == types.end()) return absl::UnimplementedError("Cast to that type");
  const torch::ScalarType type = it->second;
  return Kernel([type](const Call& call) {
    return std::vector<Tensor>{call.in[0].to(type)};
  });
}

absl::StatusOr<Kernel> Where(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{at::where(call.in[0], call.in[1], call.in[2])};
  });
}

void AddUnary(KernelTable* table) {
  const std::pair<const char*, Tensor (*)(const Tensor&)> functions[] = {
      {"Abs", [](const Tensor& x) { return at::abs(x); }},
      {"Ceil", [](const Tensor& x) { return at::ceil(x); }},
      {"Cos", [](const Tensor& x) { return at::cos(x); }},
      {"Erf", [](const Tensor& x) { return at::erf(x); }},
      {"Exp", [](const Tensor& x) { return at::exp(x); }},
      {"Floor", [](const Tensor& x) { return at::floor(x); }},
      {"HardSwish", [](const Tensor& x) { return at::hardswish(x); }},
      {"Identity", [](const Tensor& x) { return x; }},
      {"Dropout", [](const Tensor& x) { return x; }},
      {"Log", [](const Tensor& x) { return at::log(x); }},
      {"Neg", [](const Tensor& x) { return at::neg(x); }},
      {"Not", [](const Tensor& x) { return at::logical_not(x); }},
      {"Reciprocal", [](const Tensor& x) { return at::reciprocal(x); }},
      {"Relu", [](const Tensor& x) { return at::relu(x); }},
      {"Round", [](const Tensor& x) { return at::round(x); }},
      {"Sigmoid", [](const Tensor& x) { return at::sigmoid(x); }},
      {"Sign", [](const Tensor& x) { return at::sign(x); }},
      {"Sin", [](const Tensor& x) { return at::sin(x); }},
      {"Softplus", [](const Tensor& x) { return at::softplus(x); }},
      {"Sqrt", [](const Tensor& x) { return at::sqrt(x); }},
      {"Tanh", [](const Tensor& x) { return at::tanh(x); }}};
  for (const auto& [op, function] : functions) (*table)[op] = Unary(function);
}

void AddBinary(KernelTable* table) {
  const std::pair<const char*, Tensor (*)(const Tensor&, const Tensor&)>
      functions[] = {
          {"Add",
           [](const Tensor& a, const Tensor& b) { return at::add(a, b); }},
          {"Sub",
           [](const Tensor& a, const Tensor& b) { return at::sub(a, b); }},
          {"Mul",
           [](const Tensor& a, const Tensor& b) { return at::mul(a, b); }},
          {"Div", Divide},
          {"Pow",
           [](const Tensor& a, const Tensor& b) { return at::pow(a, b); }},
          {"Min",
           [](const Tensor& a, const Tensor& b) { return at::minimum(a, b); }},
          {"Max",
           [](const Tensor& a, const Tensor& b) { return at::maximum(a, b); }},
          {"And", [](const Tensor& a,
                     const Tensor& b) { return at::logical_and(a, b); }},
          {"Or", [](const Tensor& a,
                    const Tensor& b) { return at::logical_or(a, b); }},
          {"Equal",
           [](const Tensor& a, const Tensor& b) { return at::eq(a, b); }},
          {"Greater",
           [](const Tensor& a, const Tensor& b) { return at::gt(a, b); }},
          {"GreaterOrEqual",
           [](const Tensor& a, const Tensor& b) { return at::ge(a, b); }},
          {"Less",
           [](const Tensor& a, const Tensor& b) { return at::lt(a, b); }},
          {"LessOrEqual",
           [](const Tensor& a, const Tensor& b) { return at::le(a, b); }}};
  for (const auto& [op, function] : functions) (*table)[op] = Binary(function);
}

}  // namespace

void AddElementwiseKernels(KernelTable* table) {
  AddUnary(table);
  AddBinary(table);
  (*table)["Clip"] = Clip;
  (*table)["LeakyRelu"] = LeakyRelu;
  (*table)["Elu"] = Elu;
  (*table)["PRelu"] = PRelu;
  (*table)["HardSigmoid"] = HardSigmoid;
  (*table)["Softmax"] = SoftmaxOf(
      [](const Tensor& x, int64_t axis) { return at::softmax(x, axis); });
  (*table)["LogSoftmax"] = SoftmaxOf(
      [](const Tensor& x, int64_t axis) { return at::log_softmax(x, axis); });
  (*table)["Cast"] = Cast;
  (*table)["Where"] = Where;
}

}  // namespace condense::runtime
