#include "workers/engine/pipeline/predicted_size.h"

#include <algorithm>
#include <string>

#include "common/status_macros.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/quantization/lower_qdq.h"

namespace condense::pipeline {
namespace {

// With weights of this storage type.
absl::StatusOr<int64_t> SizeWith(graph::Graph placed, const std::string& dtype,
                                 int64_t qmax, int opset) {
  const std::vector<graph::NodeId> order = placed.order();
  for (graph::NodeId id : order) {
    graph::Node& node = placed.mutable_node(id);
    if (!node.IsFakeQuantize() || node.String("role", "") != "weight") continue;
    node.attrs["dtype"] = dtype;
    node.attrs["qmin"] = -qmax;
    node.attrs["qmax"] = qmax;
  }
  CONDENSE_ASSIGN_OR_RETURN(const quantization::LoweredGraph lowered,
                            quantization::LowerToQdq(placed));
  onnx_export::ExportOptions options;
  options.opset = opset;
  CONDENSE_ASSIGN_OR_RETURN(const std::string file,
                            onnx_export::ExportOnnx(lowered.graph, options));
  return static_cast<int64_t>(file.size());
}

}  // namespace

absl::StatusOr<PredictedSizes> PredictSizes(const graph::Graph& placed,
                                            int opset) {
  PredictedSizes sizes;
  CONDENSE_ASSIGN_OR_RETURN(sizes.bits8, SizeWith(placed, "int8", 127, opset));
  // The first opset that has 4 bits.
  CONDENSE_ASSIGN_OR_RETURN(sizes.bits4,
                            SizeWith(placed, "int4", 7, std::max(opset, 21)));
  return sizes;
}

}  // namespace condense::pipeline
