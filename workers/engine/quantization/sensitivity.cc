#include "workers/engine/quantization/sensitivity.h"

#include <cmath>
#include <limits>

#include "common/status_macros.h"
#include "workers/engine/quantization/calibrate.h"
#include "workers/engine/quantization/lower_qdq.h"
#include "workers/engine/quantization/quantizers_in_graph.h"
#include "workers/engine/runtime/executor.h"

namespace condense::quantization {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;

absl::StatusOr<torch::Tensor> OutputOf(const Graph& graph,
                                       const torch::Tensor& images,
                                       const std::string& device) {
  CONDENSE_ASSIGN_OR_RETURN(
      auto executor, runtime::Executor::Create(graph, {.device = device}));
  CONDENSE_ASSIGN_OR_RETURN(auto outputs, executor->Run({images}));
  return outputs[0].to(torch::kCPU).to(torch::kFloat64);
}

// The simulation with the quantizers of this layer only.
Graph OnlyQuantized(const Graph& graph, const QuantizedLayer& layer) {
  const NodeId input = graph.value(graph.node(layer.node).inputs[0]).producer;
  return WithoutQuantizers(graph, [&](NodeId id, const Node&) {
    return id != input && id != layer.weight_quantizer;
  });
}

}  // namespace

absl::StatusOr<std::map<std::string, double>> LayerSnrDb(
    const Graph& graph, const torch::Tensor& images,
    const std::string& device) {
  const torch::NoGradGuard no_grad;
  CONDENSE_ASSIGN_OR_RETURN(const torch::Tensor exact,
                            OutputOf(WithoutQuantizers(graph), images, device));
  const double signal = exact.square().sum().item<double>();
  std::map<std::string, double> found;
  for (const QuantizedLayer& layer : QuantizedLayers(graph)) {
    CONDENSE_ASSIGN_OR_RETURN(
        const torch::Tensor rounded,
        OutputOf(OnlyQuantized(graph, layer), images, device));
    const double noise = (rounded - exact).square().sum().item<double>();
    found[graph.node(layer.node).name] =
        noise > 0 ? 10 * std::log10(signal / noise)
                  : std::numeric_limits<double>::infinity();
  }
  return found;
}

}  // namespace condense::quantization
