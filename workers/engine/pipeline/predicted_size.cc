#include "workers/engine/pipeline/predicted_size.h"

#include "common/status_macros.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/quantization/lower_qdq.h"

namespace condense::pipeline {

absl::StatusOr<PredictedSizes> PredictSizes(const graph::Graph& placed,
                                            int opset) {
  CONDENSE_ASSIGN_OR_RETURN(const quantization::LoweredGraph lowered,
                            quantization::LowerToQdq(placed));
  onnx_export::ExportOptions options;
  options.opset = opset;
  CONDENSE_ASSIGN_OR_RETURN(const std::string file,
                            onnx_export::ExportOnnx(lowered.graph, options));
  PredictedSizes sizes;
  sizes.bits8 = static_cast<int64_t>(file.size());
  sizes.bits4 = sizes.bits8;
  for (graph::NodeId id : lowered.graph.order()) {
    const graph::Node& node = lowered.graph.node(id);
    if (!node.Is("DequantizeLinear")) continue;
    const graph::Tensor* weight = lowered.graph.ConstantOf(node.inputs[0]);
    if (weight == nullptr || weight->dtype() != graph::DType::kInt8) continue;
    sizes.bits4 -= weight->num_elements() -
                   graph::Tensor::ByteSize(graph::DType::kInt4, weight->dims());
  }
  return sizes;
}

}  // namespace condense::pipeline
