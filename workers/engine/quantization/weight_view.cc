#include "workers/engine/quantization/weight_view.h"

namespace condense::quantization {

std::optional<WeightView> WeightViewOf(const graph::Graph& graph,
                                       const graph::Node& node) {
  if (!node.Is("Conv") && !node.Is("Gemm") && !node.Is("MatMul")) {
    return std::nullopt;
  }
  WeightView view;
  view.weight = node.input(1);
  if (view.weight != graph::kNoValue && !graph.IsConstant(view.weight)) {
    const graph::NodeId producer = graph.value(view.weight).producer;
    if (producer != graph::kNoNode && graph.node(producer).IsFakeQuantize()) {
      view.weight = graph.node(producer).inputs[0];
    }
  }
  const graph::Tensor* tensor = graph.ConstantOf(view.weight);
  if (tensor == nullptr || tensor->dtype() != graph::DType::kFloat32 ||
      tensor->num_elements() == 0) {
    return std::nullopt;
  }
  const std::vector<int64_t>& dims = tensor->dims();
  if (node.Is("Conv")) {
    view.groups = node.Int("group", 1);
    view.outputs = dims[0];
    view.inputs = dims[1];
    view.kernel_sizes.assign(dims.begin() + 2, dims.end());
    for (int64_t size : view.kernel_sizes) view.kernel *= size;
    return view;
  }
  if (dims.size() != 2) return std::nullopt;
  view.outputs_first = node.Is("Gemm") && node.Int("transB", 0) != 0;
  view.outputs = dims[view.outputs_first ? 0 : 1];
  view.inputs = dims[view.outputs_first ? 1 : 0];
  return view;
}

}  // namespace condense::quantization
