#include "workers/engine/export/torchscript/exporter.h"

#include <torch/script.h>

#include <map>
#include <sstream>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "workers/engine/runtime/executor.h"

namespace condense::torchscript_export {
namespace {

using graph::Dim;
using graph::DType;
using graph::Graph;
using graph::Shape;
using graph::ValueId;

ValueId Constant(Graph* g, const char* name, const torch::Tensor& tensor) {
  return g->AddConstant(name, runtime::FromTorch(tensor));
}

// Convolution, BatchNormalization and a head, named as PyTorch names them.
Graph Net() {
  torch::manual_seed(3);
  Graph g;
  ValueId x =
      g.AddInput("pixels", DType::kFloat32, Shape{Dim::Symbol("N"), 3, 8, 8});
  auto op = [&](const char* name, std::vector<ValueId> inputs,
                std::map<std::string, graph::Attribute> attrs = {}) {
    const auto id = g.AddNode(name, "", std::move(inputs), {name}, attrs);
    return g.node(id).outputs[0];
  };
  x = op("Conv",
         {x, Constant(&g, "layer1.0.weight", torch::randn({4, 3, 3, 3})),
          Constant(&g, "layer1.0.bias", torch::randn({4}))});
  x = op("BatchNormalization",
         {x, Constant(&g, "layer1.1.weight", torch::rand({4})),
          Constant(&g, "layer1.1.bias", torch::randn({4})),
          Constant(&g, "layer1.1.running_mean", torch::randn({4})),
          Constant(&g, "layer1.1.running_var", torch::rand({4}) + 0.5)});
  x = op("Flatten", {op("Relu", {x})});
  x = op("Gemm",
         {x, Constant(&g, "head.weight", torch::randn({200, 144})),
          Constant(&g, "head.bias", torch::randn({200}))},
         {{"transB", int64_t{1}}});
  g.AddOutput(x);
  return g;
}

std::string Exported(const Graph& g) {
  const auto bytes = ExportTorchScript(g);
  EXPECT_TRUE(bytes.ok()) << bytes.status();
  return bytes.ok() ? *bytes : "";
}

torch::jit::Module Loaded(const std::string& bytes) {
  std::istringstream stream(bytes);
  return torch::jit::load(stream);
}

TEST(ExportTorchScriptTest, PlainLibTorchComputesTheSameForAnyBatch) {
  const Graph g = Net();
  torch::jit::Module module = Loaded(Exported(g));
  auto executor = runtime::Executor::Create(g);
  ASSERT_TRUE(executor.ok()) << executor.status();
  const torch::NoGradGuard no_grad;
  for (int64_t batch : {1, 2, 7}) {
    const torch::Tensor x = torch::randn({batch, 3, 8, 8});
    EXPECT_TRUE(torch::allclose(module.forward({x}).toTensor(),
                                (*executor)->Forward({x})[0], 1e-5, 1e-6))
        << batch;
  }
}

TEST(ExportTorchScriptTest, ParametersAndBuffersCarryTheirNames) {
  const torch::jit::Module module = Loaded(Exported(Net()));
  std::vector<std::string> parameters, buffers;
  for (const auto& p : module.named_parameters()) parameters.push_back(p.name);
  for (const auto& b : module.named_buffers()) buffers.push_back(b.name);
  EXPECT_THAT(parameters,
              ::testing::UnorderedElementsAre(
                  "layer1.0.weight", "layer1.0.bias", "layer1.1.weight",
                  "layer1.1.bias", "head.weight", "head.bias"));
  EXPECT_THAT(buffers, ::testing::UnorderedElementsAre("layer1.1.running_mean",
                                                       "layer1.1.running_var"));
  for (const torch::jit::Node* node :
       module.get_method("forward").graph()->nodes()) {
    if (node->kind() != c10::prim::Constant) continue;
    const auto value = torch::jit::toIValue(node->output());
    EXPECT_FALSE(value && value->isTensor() && value->toTensor().numel() > 1)
        << "a weight without a name";
  }
}

TEST(ExportTorchScriptTest, WeightsAreStoredOnce) {
  const size_t weights = 4 * (4 * 27 + 4 + 4 * 4 + 200 * 144 + 200);
  EXPECT_LT(Exported(Net()).size(), weights + 12000);
}

TEST(ExportTorchScriptTest, WhatDependsOnTheDataIsATypedError) {
  Graph g;
  const ValueId x = g.AddInput("x", DType::kFloat32, Shape{4});
  g.AddOutput(g.node(g.AddNode("NonZero", "find", {x}, {"y"})).outputs[0]);
  const absl::Status status = ExportTorchScript(g).status();
  EXPECT_EQ(ErrorReason(status), "DATA_DEPENDENT_SHAPE");
  EXPECT_EQ(ErrorDetailOf(status).node, "find");
}

}  // namespace
}  // namespace condense::torchscript_export
