// The table of all kernels, and what kernels read from the graph.

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "workers/engine/graph/rewrite.h"
#include "workers/engine/runtime/step.h"

namespace condense::runtime {

std::vector<int64_t> IntsOf(const torch::Tensor& tensor) {
  const torch::Tensor flat =
      tensor.detach().to(torch::kCPU).to(torch::kInt64).contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

IntsInput KernelContext::Ints(size_t input) const {
  if (!Has(input)) return IntsInput();
  return IntsInput(input, graph::IntegersOf(graph, node.input(input)));
}

int64_t KernelContext::RankOf(size_t input) const {
  const auto& shape = graph.value(node.input(input)).shape;
  return shape ? static_cast<int64_t>(shape->size()) : -1;
}

absl::Status KernelContext::Unsupported(const std::string& what) const {
  return MakeError(absl::StatusCode::kUnimplemented, "NO_KERNEL",
                   absl::StrCat(node.op, " ", what));
}

const KernelTable& AllKernels() {
  static const auto& kernels = *[] {
    auto* table = new KernelTable();
    AddActivationKernels(table);
    AddArithmeticKernels(table);
    AddControlFlowKernels(table);
    AddConvolutionKernels(table);
    AddDetectionKernels(table);
    AddIndexingKernels(table);
    AddIntegerKernels(table);
    AddLogicKernels(table);
    AddLossKernels(table);
    AddNormalizationKernels(table);
    AddPoolingKernels(table);
    AddQuantizationKernels(table);
    AddRecurrentKernels(table);
    AddReductionKernels(table);
    AddResizeKernels(table);
    AddShapeKernels(table);
    AddSignalKernels(table);
    return table;
  }();
  return kernels;
}

}  // namespace condense::runtime
