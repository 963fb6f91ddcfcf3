#include "workers/engine/runtime/precision.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/string_view.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

constexpr absl::string_view kLowOperators[] = {"Conv", "ConvTranspose",
                                               "Einsum", "Gemm", "MatMul"};

// Each has kernels for bfloat16 and float16, forward and backward (Clip: our
// own backward, clamp.h).
constexpr absl::string_view kFollowingOperators[] = {
    "Add",       "AveragePool", "Clip",      "Concat",       "DepthToSpace",
    "Dropout",   "Elu",         "Expand",    "Flatten",      "Gather",
    "Gelu",      "HardSigmoid", "HardSwish", "Identity",     "LeakyRelu",
    "MaxPool",   "Mul",         "PRelu",     "Pad",          "Relu",
    "Reshape",   "Sigmoid",     "Slice",     "SpaceToDepth", "Split",
    "Squeeze",   "Sub",         "Sum",       "Swish",        "Tanh",
    "Transpose", "Unsqueeze"};

template <size_t N>
bool Contains(const absl::string_view (&list)[N], const std::string& op) {
  return std::find(std::begin(list), std::end(list), op) != std::end(list);
}

bool IsLow(const Tensor& x) {
  return x.defined() && (x.scalar_type() == torch::kBFloat16 ||
                         x.scalar_type() == torch::kFloat16);
}

bool IsFloat(const Tensor& x) {
  return x.defined() && x.scalar_type() == torch::kFloat32;
}

}  // namespace

std::string PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kBfloat16:
      return "bf16";
    case Precision::kFloat16:
      return "fp16";
    case Precision::kFloat32:
      break;
  }
  return "float32";
}

torch::ScalarType ScalarTypeOf(Precision precision) {
  switch (precision) {
    case Precision::kBfloat16:
      return torch::kBFloat16;
    case Precision::kFloat16:
      return torch::kFloat16;
    case Precision::kFloat32:
      break;
  }
  return torch::kFloat32;
}

CastPolicy CastPolicyOf(const graph::Node& node) {
  if (!node.domain.empty()) return CastPolicy::kFloat;
  if (node.op == "BatchNormalization") return CastPolicy::kKeep;
  if (Contains(kLowOperators, node.op)) return CastPolicy::kLow;
  if (Contains(kFollowingOperators, node.op)) return CastPolicy::kFollow;
  return CastPolicy::kFloat;
}

void CastArguments(CastPolicy policy, torch::ScalarType low,
                   const std::vector<bool>& constant,
                   std::vector<Tensor>* arguments) {
  switch (policy) {
    case CastPolicy::kKeep:
      return;
    case CastPolicy::kLow:
      for (Tensor& x : *arguments) {
        if (IsFloat(x)) x = x.to(low);
      }
      return;
    case CastPolicy::kFloat:
      for (Tensor& x : *arguments) {
        if (IsLow(x)) x = x.to(torch::kFloat32);
      }
      return;
    case CastPolicy::kFollow:
      break;
  }
  bool any_low = false;
  for (size_t i = 0; i < arguments->size(); ++i) {
    any_low = any_low || (!constant[i] && IsLow((*arguments)[i]));
  }
  if (!any_low) return;
  for (size_t i = 0; i < arguments->size(); ++i) {
    if (constant[i] && IsFloat((*arguments)[i])) {
      (*arguments)[i] = (*arguments)[i].to(low);
    }
  }
}

}  // namespace condense::runtime
