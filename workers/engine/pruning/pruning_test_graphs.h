#ifndef CONDENSE_WORKERS_ENGINE_PRUNING_PRUNING_TEST_GRAPHS_H_
#define CONDENSE_WORKERS_ENGINE_PRUNING_PRUNING_TEST_GRAPHS_H_

#include <cmath>
#include <string>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/graph/infer_shapes.h"

namespace condense::pruning {

// Weights that differ from channel to channel: value i is sin(i + seed).
inline graph::Tensor Waves(std::vector<int64_t> dims, double seed) {
  int64_t count = 1;
  for (int64_t dim : dims) count *= dim;
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(std::sin(static_cast<double>(i) + seed));
  }
  return graph::Tensor::Of<float>(std::move(dims), values);
}

// Adds Conv(x, waves) and returns its output.
inline graph::ValueId AddConv(graph::Graph* graph, const std::string& name,
                              graph::ValueId x, std::vector<int64_t> dims,
                              int64_t group = 1) {
  const int64_t pad = dims[2] / 2;
  const double seed = static_cast<double>(graph->node_limit());
  const auto weight = graph->AddConstant(name + ".w", Waves(dims, seed));
  const auto node = graph->AddNode(
      "Conv", name, {x, weight}, {name + ".y"},
      {{"group", group}, {"pads", std::vector<int64_t>{pad, pad, pad, pad}}});
  return graph->node(node).outputs[0];
}

inline graph::ValueId AddOp(
    graph::Graph* graph, const std::string& op,
    std::vector<graph::ValueId> inputs,
    std::map<std::string, graph::Attribute> attrs = {}) {
  const auto node =
      graph->AddNode(op, "", std::move(inputs), {op + ".y"}, std::move(attrs));
  return graph->node(node).outputs[0];
}

// Image [N, 3, 8, 8] in.
inline graph::ValueId AddImage(graph::Graph* graph) {
  return graph->AddInput("x", graph::DType::kFloat32,
                         graph::Shape{graph::Dim::Symbol("N"), 3, 8, 8});
}

}  // namespace condense::pruning

#endif  // CONDENSE_WORKERS_ENGINE_PRUNING_PRUNING_TEST_GRAPHS_H_
