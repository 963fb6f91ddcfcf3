#include "workers/engine/graph/passes/widen_floats.h"

#include "gtest/gtest.h"
#include "workers/engine/graph/convert_floats.h"
#include "workers/engine/graph/declared_types.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/graph/text.h"

namespace condense::graph {
namespace {

// x: float16 -> times w -> to float32 -> Relu -> to float16
Graph Half() {
  Graph graph;
  const ValueId x =
      graph.AddInput("x", DType::kFloat16, Shape{Dim::Symbol("N"), 2});
  const Tensor weight = Tensor::Of<float>({2}, std::vector<float>{0.5f, 3});
  const ValueId w =
      graph.AddConstant("w", ConvertFloats(weight, DType::kFloat16));
  auto op = [&](const char* name, std::vector<ValueId> inputs,
                std::map<std::string, Attribute> attrs = {}) {
    const NodeId id = graph.AddNode(name, "", inputs, {name}, attrs);
    return graph.node(id).outputs[0];
  };
  const ValueId wide =
      op("Cast", {op("Mul", {x, w})}, {{"to", std::string("float32")}});
  const ValueId y =
      op("Cast", {op("Relu", {wide})}, {{"to", std::string("float16")}});
  graph.RenameValue(y, "y");
  graph.AddOutput(y);
  EXPECT_TRUE(Simplify(graph).ok());
  return graph;
}

TEST(WidenFloatsTest, EverythingIsFloat32AndCastsVanish) {
  Graph graph = Half();
  EXPECT_EQ(graph.order().size(), 4u);
  ASSERT_TRUE(*WidenFloats().Run(graph));
  EXPECT_FALSE(*WidenFloats().Run(graph)) << "it is not idempotent";
  ASSERT_TRUE(Simplify(graph).ok());
  EXPECT_EQ(ToText(graph), R"(graph model opset 17 {
  metadata condense.dtype.x = "float16"
  metadata condense.dtype.y = "float16"
  input x: float32 [N, 2]
  const w: float32 [2] = {0.5, 3.0}
  Mul: float32 [N, 2] = Mul(x, w)
  y: float32 [N, 2] = Relu(Mul) @ Relu
  output y
}
)");
  EXPECT_EQ(graph.ConstantOf(graph.FindValue("w"))->ToFloats(),
            (std::vector<float>{0.5f, 3}));
}

TEST(WidenFloatsTest, TheDeclaredTypesAreKept) {
  Graph graph = Half();
  ASSERT_TRUE(WidenFloats().Run(graph).ok());
  EXPECT_EQ(DeclaredType(graph, graph.inputs()[0]), DType::kFloat16);
  EXPECT_EQ(DeclaredType(graph, graph.outputs()[0]), DType::kFloat16);
  ForgetDeclaredTypes(graph);
  EXPECT_EQ(DeclaredType(graph, graph.inputs()[0]), DType::kFloat32);
  EXPECT_TRUE(graph.metadata.empty());
}

TEST(DeclaredTypesTest, ANoteThatNamesNoFloatingTypeIsIgnored) {
  Graph graph;
  const ValueId x = graph.AddInput("x", DType::kFloat32, Shape{2});
  DeclareType(graph, "x", DType::kString);
  EXPECT_EQ(DeclaredType(graph, x), DType::kFloat32);
}

}  // namespace
}  // namespace condense::graph
