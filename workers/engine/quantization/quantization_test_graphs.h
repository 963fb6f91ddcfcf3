#ifndef CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZATION_TEST_GRAPHS_H_
#define CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZATION_TEST_GRAPHS_H_

#include <map>
#include <string>
#include <vector>

#include "workers/engine/graph/graph.h"
#include "workers/engine/quantization/placement.h"
#include "workers/engine/training/training_test_model.h"

namespace condense::quantization {

// As the profiles of ONNX Runtime have it.
inline Numerics RuntimeNumerics() {
  Numerics numerics;
  numerics.quantized_ops = {"Conv", "Gemm",    "MatMul",
                            "Add",  "MaxPool", "Flatten",
                            "Relu", "Concat",  "GlobalAveragePool"};
  numerics.fusions = {{"Conv", "Relu"}, {"Gemm", "Relu"}, {"Add", "Relu"}};
  return numerics;
}

inline graph::ValueId Image(graph::Graph* g, int64_t channels) {
  return g->AddInput("x", graph::DType::kFloat32,
                     graph::Shape{graph::Dim::Symbol("N"), channels, 6, 6});
}

// One node, named as its output.
inline graph::ValueId Op(graph::Graph* g, const std::string& op,
                         const std::string& name,
                         std::vector<graph::ValueId> inputs,
                         std::map<std::string, graph::Attribute> attrs = {}) {
  return g
      ->node(g->AddNode(op, name, std::move(inputs), {name + ".y"},
                        std::move(attrs)))
      .outputs[0];
}

// 3 x 3 with padding and bias; the seed is the length of the name.
inline graph::ValueId Conv(graph::Graph* g, const std::string& name,
                           graph::ValueId x, int64_t from, int64_t to) {
  const auto w = g->AddConstant(
      name + ".w", training::Filled({to, from, 3, 3}, name.size()));
  const auto b = g->AddConstant(name + ".b", training::Filled({to}, 50));
  return Op(g, "Conv", name, {x, w, b},
            {{"pads", std::vector<int64_t>{1, 1, 1, 1}}});
}

// The FakeQuantize that makes a value, or nullptr.
inline const graph::Node* QuantizerOf(const graph::Graph& g,
                                      graph::ValueId id) {
  const graph::NodeId producer = g.value(id).producer;
  if (producer == graph::kNoNode || !g.node(producer).IsFakeQuantize()) {
    return nullptr;
  }
  return &g.node(producer);
}

// The quantizer in front of an input of the node called `name`.
inline const graph::Node* QuantizerInto(const graph::Graph& g,
                                        const std::string& name,
                                        size_t input = 0) {
  return QuantizerOf(g, g.node(g.FindNode(name)).inputs[input]);
}

inline int Count(const graph::Graph& g, const std::string& role) {
  int count = 0;
  for (graph::NodeId id : g.order()) {
    const graph::Node& node = g.node(id);
    count += node.IsFakeQuantize() && node.String("role", "") == role;
  }
  return count;
}

inline std::vector<float> Floats(const graph::Graph& g, graph::ValueId id) {
  return g.ConstantOf(id)->ToFloats();
}

}  // namespace condense::quantization

#endif  // CONDENSE_WORKERS_ENGINE_QUANTIZATION_QUANTIZATION_TEST_GRAPHS_H_
