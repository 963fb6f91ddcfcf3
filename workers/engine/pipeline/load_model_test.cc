#include "workers/engine/pipeline/load_model.h"

#include <torch/script.h>

#include <filesystem>

#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/pipeline/commands.h"

namespace condense::pipeline {
namespace {

TEST(LoadModelTest, EveryInputOfATorchScriptModelMayHaveAShape) {
  torch::jit::Module module("TwoInputs");
  module.define("def forward(self, a, b):\n  return a + b.reshape(-1, 6)\n");
  const std::string path =
      (std::filesystem::path(testing::TempDir()) / "two_inputs.pt").string();
  module.save(path);
  const auto graph = LoadModelWith(path, {.input_shape = "Nx6,Nx2x3"});
  ASSERT_TRUE(graph.ok()) << graph.status();
  ASSERT_EQ(graph->inputs().size(), 2u);
  EXPECT_EQ(graph::ShapeText(graph->value(graph->inputs()[0]).shape), "[N, 6]");
  EXPECT_EQ(graph::ShapeText(graph->value(graph->inputs()[1]).shape),
            "[N, 2, 3]");
  std::filesystem::remove(path);
}

TEST(LoadModelTest, AShapeIsABatchAndSizes) {
  EXPECT_EQ(graph::ShapeText(*ParseShape("Nx3x32x32")), "[N, 3, 32, 32]");
  EXPECT_EQ(graph::ShapeText(*ParseShape("1x8")), "[N, 8]");
  for (const char* text : {"", "N", "foo", "Nx", "Nx0", "Nx-3", "3xNx3"}) {
    EXPECT_EQ(ErrorReason(ParseShape(text).status()), "BAD_SHAPE") << text;
  }
}

}  // namespace
}  // namespace condense::pipeline
