// Reductions, and what kernels read from constant inputs.

#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {
namespace {

using torch::Tensor;

using Reducer = Tensor (*)(const Tensor&, const std::vector<int64_t>&, bool);

KernelMaker Reduce(Reducer reducer) {
  return [reducer](const KernelContext& c) -> absl::StatusOr<Kernel> {
    std::vector<int64_t> axes = c.node.Ints("axes");
    CONDENSE_ASSIGN_OR_RETURN(auto given, c.Ints(1));
    if (given) axes = *given;
    const bool keep = c.node.Int("keepdims", 1) != 0;
    const bool noop =
        axes.empty() && c.node.Int("noop_with_empty_axes", 0) != 0;
    return Kernel([=](const Call& call) {
      const Tensor& x = call.in[0];
      if (noop) return std::vector<Tensor>{x};
      std::vector<int64_t> over = axes;
      if (over.empty()) {
        for (int64_t i = 0; i < x.dim(); ++i) over.push_back(i);
      }
      return std::vector<Tensor>{reducer(x, over, keep)};
    });
  };
}

KernelMaker Arg(bool largest) {
  return [largest](const KernelContext& c) -> absl::StatusOr<Kernel> {
    const int64_t axis = c.node.Int("axis", 0);
    const bool keep = c.node.Int("keepdims", 1) != 0;
    return Kernel([=](const Call& call) {
      return std::vector<Tensor>{largest ? at::argmax(call.in[0], axis, keep)
                                         : at::argmin(call.in[0], axis, keep)};
    });
  };
}

}  // namespace

absl::StatusOr<std::optional<std::vector<int64_t>>> KernelContext::Ints(
    size_t input) const {
  if (node.input(input) == graph::kNoValue) return std::nullopt;
  const graph::Tensor* tensor = graph.ConstantOf(node.input(input));
  if (tensor == nullptr) {
    return MakeError(
        absl::StatusCode::kUnimplemented, "DYNAMIC_SHAPE",
        absl::StrCat(node.op, ": input ", input, " must be a constant"));
  }
  return tensor->ToInts();
}

absl::StatusOr<std::optional<std::vector<float>>> KernelContext::Floats(
    size_t input) const {
  if (node.input(input) == graph::kNoValue) return std::nullopt;
  const graph::Tensor* tensor = graph.ConstantOf(node.input(input));
  if (tensor == nullptr) {
    return MakeError(
        absl::StatusCode::kUnimplemented, "DYNAMIC_SHAPE",
        absl::StrCat(node.op, ": input ", input, " must be a constant"));
  }
  return tensor->ToFloats();
}

int64_t KernelContext::RankOf(size_t input) const {
  const auto& shape = graph.value(node.input(input)).shape;
  return shape ? static_cast<int64_t>(shape->size()) : -1;
}

void AddReductionKernels(KernelTable* table) {
  using Axes = std::vector<int64_t>;
  (*table)["ReduceMean"] = Reduce([](const Tensor& x, const Axes& axes,
                                     bool keep) { return x.mean(axes, keep); });
  (*table)["ReduceSum"] = Reduce([](const Tensor& x, const Axes& axes,
                                    bool keep) { return x.sum(axes, keep); });
  (*table)["ReduceMax"] = Reduce([](const Tensor& x, const Axes& axes,
                                    bool keep) { return x.amax(axes, keep); });
  (*table)["ReduceMin"] = Reduce([](const Tensor& x, const Axes& axes,
                                    bool keep) { return x.amin(axes, keep); });
  (*table)["ArgMax"] = Arg(true);
  (*table)["ArgMin"] = Arg(false);
}

}  // namespace condense::runtime
