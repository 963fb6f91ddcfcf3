#include "workers/engine/graph/bodies.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "workers/engine/graph/verify_node.h"

namespace condense::graph {
namespace {

constexpr const char* kLayers[] = {"Conv", "ConvTranspose", "Gemm", "MatMul",
                                   "LSTM", "GRU",           "RNN"};

// A constant, or one that the body reads from outside.
bool HasWeight(const Graph& body, const Node& node) {
  const ValueId weight = node.input(1);
  const bool layer = std::any_of(std::begin(kLayers), std::end(kLayers),
                                 [&](const char* op) { return node.Is(op); });
  if (!layer || weight == kNoValue) return false;
  const auto& inputs = body.inputs();
  return body.IsConstant(weight) ||
         std::find(inputs.begin(), inputs.end(), weight) != inputs.end();
}

void Visit(const Graph& graph, const std::string& prefix,
           const std::string& reason, std::vector<InnerLayer>* layers) {
  for (NodeId id : graph.order()) {
    const Node& node = graph.node(id);
    if (!prefix.empty() && HasWeight(graph, node)) {
      InnerLayer layer{prefix + node.name, node.op, 0, 0, reason};
      for (ValueId input : node.inputs) {
        const Tensor* tensor = graph.ConstantOf(input);
        if (tensor == nullptr || !IsFloating(tensor->dtype())) continue;
        layer.parameters += tensor->num_elements();
        layer.bytes += static_cast<int64_t>(tensor->bytes().size());
      }
      layers->push_back(std::move(layer));
    }
    for (const auto& [key, body] : BodiesOf(node)) {
      Visit(*body, absl::StrCat(prefix, node.name, "/"),
            absl::StrCat("it stands in a body of ", node.op, " (node ",
                         node.name, "), which depends on data"),
            layers);
    }
  }
}

}  // namespace

std::vector<InnerLayer> InnerLayers(const Graph& graph) {
  std::vector<InnerLayer> layers;
  Visit(graph, "", "", &layers);
  return layers;
}

}  // namespace condense::graph
