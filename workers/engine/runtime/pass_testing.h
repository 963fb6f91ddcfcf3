#ifndef CONDENSE_WORKERS_ENGINE_RUNTIME_PASS_TESTING_H_
#define CONDENSE_WORKERS_ENGINE_RUNTIME_PASS_TESTING_H_

// What tests of passes share: small graphs, and outputs before and after.

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "workers/engine/graph/infer_shapes.h"
#include "workers/engine/graph/passes/pass.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/graph/verify.h"
#include "workers/engine/runtime/executor.h"

namespace condense::runtime {

using Attributes = std::map<std::string, graph::Attribute>;

// Builds small graphs: one line per node.
struct Maker {
  graph::Graph graph;
  graph::ValueId x;
  explicit Maker(graph::Shape shape) {
    x = graph.AddInput("x", graph::DType::kFloat32, std::move(shape));
  }
  // Shapes are inferred as the graph grows.
  graph::ValueId Op(const std::string& op, std::vector<graph::ValueId> inputs,
                    Attributes attrs = {}) {
    const auto id = graph.AddNode(op, "", std::move(inputs), {op}, attrs);
    EXPECT_TRUE(graph::InferNode(graph, id).ok()) << op;
    return graph.node(id).outputs[0];
  }
  graph::ValueId Number(float v) {
    return graph.AddConstant("n", graph::Tensor::Scalar<float>(v));
  }
  graph::ValueId Floats(std::vector<int64_t> dims,
                        const std::vector<float>& v) {
    return graph.AddConstant("f", graph::Tensor::Of<float>(dims, v));
  }
  // Random weights, the same in every run.
  graph::ValueId Random(std::vector<int64_t> dims, float low = -1,
                        float high = 1) {
    int64_t count = 1;
    for (int64_t dim : dims) count *= dim;
    std::vector<float> v;
    for (int64_t i = 0; i < count; ++i) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      const float unit = static_cast<float>(state_ >> 40) / (1 << 24);
      v.push_back(low + (high - low) * unit);
    }
    return Floats(dims, v);
  }
  graph::ValueId Ints(const std::vector<int64_t>& v) {
    return graph.AddConstant(
        "i", graph::Tensor::Of<int64_t>({static_cast<int64_t>(v.size())}, v));
  }
  // BatchNormalization with random statistics.
  graph::ValueId Norm(graph::ValueId in, int64_t channels) {
    return Op("BatchNormalization",
              {in, Random({channels}, 0.5f, 2), Random({channels}),
               Random({channels}), Random({channels}, 0.5f, 2)});
  }
  graph::Graph Done(graph::ValueId y) {
    graph.AddOutput(y);
    EXPECT_TRUE(graph::InferShapes(graph).ok());
    return graph;
  }

 private:
  uint64_t state_ = 17;
};

inline torch::Tensor Forward(const graph::Graph& graph,
                             const torch::Tensor& x) {
  auto executor = Executor::Create(graph);
  EXPECT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  auto outputs = (*executor)->Run({x});
  EXPECT_TRUE(outputs.ok()) << outputs.status();
  return outputs.ok() ? (*outputs)[0] : torch::Tensor();
}

inline int CountOf(const graph::Graph& graph, const std::string& op) {
  int count = 0;
  for (graph::NodeId id : graph.order()) count += graph.node(id).op == op;
  return count;
}

// "Conv Relu ": the operators in order.
inline std::string Ops(const graph::Graph& graph) {
  std::string ops;
  for (graph::NodeId id : graph.order()) ops += graph.node(id).op + " ";
  return ops;
}

// Runs the pass twice: the first run changes the graph and keeps its outputs
// on random inputs, names included; the second changes nothing.
inline graph::Graph ExpectKeepsOutputs(const graph::Pass& pass,
                                       const graph::Graph& before) {
  graph::Graph after = before;
  auto changed = pass.Run(after);
  EXPECT_TRUE(changed.ok()) << changed.status();
  EXPECT_TRUE(changed.ok() && *changed) << "changed nothing";
  EXPECT_TRUE(graph::InferShapes(after).ok());
  EXPECT_TRUE(graph::Verify(after).ok());
  const std::string text = graph::ToText(after);
  EXPECT_FALSE(*pass.Run(after)) << "not idempotent: " << text;
  EXPECT_EQ(graph::ToText(after), text);
  EXPECT_EQ(after.value(after.outputs()[0]).name,
            before.value(before.outputs()[0]).name);
  torch::manual_seed(3);
  std::vector<int64_t> dims;
  for (const graph::Dim& dim : *before.value(before.inputs()[0]).shape) {
    dims.push_back(dim.known() ? dim.value : 2);
  }
  const torch::Tensor x = 3 * torch::randn(dims);
  const torch::Tensor a = Forward(before, x), b = Forward(after, x);
  EXPECT_EQ(a.sizes(), b.sizes());
  if (a.sizes() != b.sizes()) return after;
  EXPECT_LT((a - b).abs().max().item<double>(),
            1e-5 * std::max(1.0, a.abs().max().item<double>()))
      << text;
  return after;
}

// The same, and one node `op` is left.
inline void ExpectFuses(const graph::Pass& pass, const graph::Graph& before,
                        const std::string& op) {
  EXPECT_EQ(CountOf(ExpectKeepsOutputs(pass, before), op), 1);
}

}  // namespace condense::runtime

#endif  // CONDENSE_WORKERS_ENGINE_RUNTIME_PASS_TESTING_H_
