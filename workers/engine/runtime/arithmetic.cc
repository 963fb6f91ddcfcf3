// Element by element: arithmetic and elementary functions.

#include "workers/engine/runtime/clamp.h"
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

absl::StatusOr<Kernel> Add(const KernelContext&) {
  return Kernel([](const Call& call) {
    const Tensor &a = call.in[0], &b = call.in[1];
    const bool same =
        a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type();
    if (!call.in_place || !same) return std::vector<Tensor>{at::add(a, b)};
    Tensor y = a;
    return std::vector<Tensor>{y.add_(b)};
  });
}

Tensor Divide(const Tensor& a, const Tensor& b) {
  if (a.is_floating_point()) return at::div(a, b);
  return at::div(a, b, "trunc");
}

// The result has the type of the base.
Tensor Power(const Tensor& a, const Tensor& b) {
  return at::pow(a, b).to(a.scalar_type());
}

Tensor Average(const Tensor& sum, size_t count) {
  return count > 1 ? sum / static_cast<double>(count) : sum;
}

absl::StatusOr<Kernel> Mean(const KernelContext&) {
  return Kernel([](const Call& call) {
    Tensor sum = call.in[0];
    for (size_t i = 1; i < call.in.size(); ++i) sum = sum + call.in[i];
    return std::vector<Tensor>{Average(sum, call.in.size())};
  });
}

// fmod = 1: the sign of the dividend, as in C; 0: that of the divisor.
absl::StatusOr<Kernel> Mod(const KernelContext& c) {
  const bool like_c = c.node.Int("fmod", 0) != 0;
  return Kernel([like_c](const Call& call) {
    return std::vector<Tensor>{like_c ? at::fmod(call.in[0], call.in[1])
                                      : at::remainder(call.in[0], call.in[1])};
  });
}

absl::StatusOr<Kernel> CumSum(const KernelContext& c) {
  const bool exclusive = c.node.Int("exclusive", 0) != 0;
  const bool reverse = c.node.Int("reverse", 0) != 0;
  const IntsInput axis_input = c.Ints(1);
  return Kernel([=](const Call& call) {
    const int64_t axis = axis_input(call)[0];
    Tensor x = reverse ? at::flip(call.in[0], axis) : call.in[0];
    Tensor y = at::cumsum(x, axis, x.scalar_type());
    if (exclusive) y = y - x;
    if (reverse) y = at::flip(y, axis);
    return std::vector<Tensor>{y};
  });
}

// A bound that is a constant number, nullopt where it is computed or absent.
c10::optional<at::Scalar> ConstantBound(const KernelContext& c, size_t input) {
  const graph::Tensor* tensor = c.graph.ConstantOf(c.node.input(input));
  if (tensor == nullptr || tensor->num_elements() != 1) return c10::nullopt;
  if (graph::IsFloating(tensor->dtype())) {
    return at::Scalar(static_cast<double>(tensor->ToFloats()[0]));
  }
  return at::Scalar(tensor->ToInts()[0]);
}

absl::StatusOr<Kernel> Clip(const KernelContext& c) {
  const auto min = ConstantBound(c, 1), max = ConstantBound(c, 2);
  const bool constant =
      min.has_value() == c.Has(1) && max.has_value() == c.Has(2);
  return Kernel([=](const Call& call) {
    Tensor y = call.in[0];
    if (constant && min && max && y.is_floating_point()) {
      return std::vector<Tensor>{
          Clamp(y, min->toDouble(), max->toDouble(), call.in_place)};
    }
    if (constant) {
      return std::vector<Tensor>{min || max ? at::clamp(y, min, max) : y};
    }
    if (call.Has(1)) y = at::maximum(y, call.in[1]);
    if (call.Has(2)) y = at::minimum(y, call.in[2]);
    return std::vector<Tensor>{y};
  });
}

absl::StatusOr<Kernel> BitShift(const KernelContext& c) {
  const bool left = c.node.String("direction", "LEFT") == "LEFT";
  return Kernel([left](const Call& call) {
    return std::vector<Tensor>{
        left ? at::bitwise_left_shift(call.in[0], call.in[1])
             : at::bitwise_right_shift(call.in[0], call.in[1])};
  });
}

absl::StatusOr<Kernel> Einsum(const KernelContext& c) {
  const std::string equation = c.node.String("equation", "");
  return Kernel([equation](const Call& call) {
    return std::vector<Tensor>{at::einsum(equation, call.in)};
  });
}

void AddUnary(KernelTable* table) {
  const std::pair<const char*, Tensor (*)(const Tensor&)> functions[] = {
      {"Abs", [](const Tensor& x) { return at::abs(x); }},
      {"Acos", [](const Tensor& x) { return at::acos(x); }},
      {"Acosh", [](const Tensor& x) { return at::acosh(x); }},
      {"Asin", [](const Tensor& x) { return at::asin(x); }},
      {"Asinh", [](const Tensor& x) { return at::asinh(x); }},
      {"Atan", [](const Tensor& x) { return at::atan(x); }},
      {"Atanh", [](const Tensor& x) { return at::atanh(x); }},
      {"Ceil", [](const Tensor& x) { return at::ceil(x); }},
      {"Cos", [](const Tensor& x) { return at::cos(x); }},
      {"Cosh", [](const Tensor& x) { return at::cosh(x); }},
      {"Det", [](const Tensor& x) { return at::linalg_det(x); }},
      {"Erf", [](const Tensor& x) { return at::erf(x); }},
      {"Exp", [](const Tensor& x) { return at::exp(x); }},
      {"Floor", [](const Tensor& x) { return at::floor(x); }},
      {"Log", [](const Tensor& x) { return at::log(x); }},
      {"Neg", [](const Tensor& x) { return at::neg(x); }},
      {"Reciprocal", [](const Tensor& x) { return at::reciprocal(x); }},
      {"Round", [](const Tensor& x) { return at::round(x); }},
      {"Sign", [](const Tensor& x) { return at::sign(x); }},
      {"Sin", [](const Tensor& x) { return at::sin(x); }},
      {"Sinh", [](const Tensor& x) { return at::sinh(x); }},
      {"Sqrt", [](const Tensor& x) { return at::sqrt(x); }},
      {"Tan", [](const Tensor& x) { return at::tan(x); }}};
  for (const auto& [op, function] : functions) (*table)[op] = Unary(function);
}

void AddBinary(KernelTable* table) {
  const std::pair<const char*, Tensor (*)(const Tensor&, const Tensor&)>
      functions[] = {
          {"Sub",
           [](const Tensor& a, const Tensor& b) { return at::sub(a, b); }},
          {"Mul",
           [](const Tensor& a, const Tensor& b) { return at::mul(a, b); }},
          {"Sum",
           [](const Tensor& a, const Tensor& b) { return at::add(a, b); }},
          {"Div", Divide},
          {"Pow", Power},
          {"Min",
           [](const Tensor& a, const Tensor& b) { return at::minimum(a, b); }},
          {"Max",
           [](const Tensor& a, const Tensor& b) { return at::maximum(a, b); }},
          {"MatMul",
           [](const Tensor& a, const Tensor& b) { return at::matmul(a, b); }},
          {"BitwiseAnd", [](const Tensor& a,
                            const Tensor& b) { return at::bitwise_and(a, b); }},
          {"BitwiseOr", [](const Tensor& a,
                           const Tensor& b) { return at::bitwise_or(a, b); }},
          {"BitwiseXor", [](const Tensor& a, const Tensor& b) {
             return at::bitwise_xor(a, b);
           }}};
  for (const auto& [op, function] : functions) (*table)[op] = Binary(function);
}

}  // namespace

void AddArithmeticKernels(KernelTable* table) {
  AddUnary(table);
  AddBinary(table);
  (*table)["Add"] = Add;
  (*table)["BitwiseNot"] =
      Unary([](const Tensor& x) { return at::bitwise_not(x); });
  (*table)["BitShift"] = BitShift;
  (*table)["Clip"] = Clip;
  (*table)["CumSum"] = CumSum;
  (*table)["Einsum"] = Einsum;
  (*table)["Mean"] = Mean;
  (*table)["Mod"] = Mod;
}

}  // namespace condense::runtime
