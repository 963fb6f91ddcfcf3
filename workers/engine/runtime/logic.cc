// Comparisons, logic, selection and conversion of types.

#include "workers/engine/runtime/dtype.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

KernelMaker Compare(Tensor (*function)(const Tensor&, const Tensor&)) {
  return [function](const KernelContext&) -> absl::StatusOr<Kernel> {
    return Kernel([function](const Call& call) {
      return std::vector<Tensor>{function(call.in[0], call.in[1])};
    });
  };
}

absl::StatusOr<Kernel> Cast(const KernelContext& c) {
  const graph::DType to = graph::DTypeFromName(c.node.String("to", ""));
  if (!ScalarTypeOf(to)) return c.Unsupported("to strings");
  return Kernel([to](const Call& call) {
    return std::vector<Tensor>{CastTo(call.in[0], to)};
  });
}

absl::StatusOr<Kernel> CastLike(const KernelContext& c) {
  const graph::DType to = c.graph.value(c.node.input(1)).dtype;
  return Kernel([to](const Call& call) {
    return std::vector<Tensor>{ScalarTypeOf(to)
                                   ? CastTo(call.in[0], to)
                                   : call.in[0].to(call.in[1].scalar_type())};
  });
}

absl::StatusOr<Kernel> Where(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{at::where(call.in[0], call.in[1], call.in[2])};
  });
}

absl::StatusOr<Kernel> Not(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{at::logical_not(call.in[0])};
  });
}

absl::StatusOr<Kernel> IsNaN(const KernelContext&) {
  return Kernel([](const Call& call) {
    return std::vector<Tensor>{at::isnan(call.in[0])};
  });
}

absl::StatusOr<Kernel> IsInf(const KernelContext& c) {
  const bool positive = c.node.Int("detect_positive", 1) != 0;
  const bool negative = c.node.Int("detect_negative", 1) != 0;
  return Kernel([=](const Call& call) {
    Tensor y = at::zeros_like(call.in[0], torch::kBool);
    if (positive) y = at::logical_or(y, at::isposinf(call.in[0]));
    if (negative) y = at::logical_or(y, at::isneginf(call.in[0]));
    return std::vector<Tensor>{y};
  });
}

}  // namespace

void AddLogicKernels(KernelTable* table) {
  const std::pair<const char*, Tensor (*)(const Tensor&, const Tensor&)>
      comparisons[] = {
          {"And", [](const Tensor& a,
                     const Tensor& b) { return at::logical_and(a, b); }},
          {"Or", [](const Tensor& a,
                    const Tensor& b) { return at::logical_or(a, b); }},
          {"Xor", [](const Tensor& a,
                     const Tensor& b) { return at::logical_xor(a, b); }},
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
  for (const auto& [op, function] : comparisons) {
    (*table)[op] = Compare(function);
  }
  (*table)["Cast"] = Cast;
  (*table)["CastLike"] = CastLike;
  (*table)["IsInf"] = IsInf;
  (*table)["IsNaN"] = IsNaN;
  (*table)["Not"] = Not;
  (*table)["Where"] = Where;
}

}  // namespace condense::runtime
