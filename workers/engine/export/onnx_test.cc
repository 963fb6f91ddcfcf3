#include "workers/engine/export/onnx.h"

#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "gtest/gtest.h"
#include "onnx/onnx_pb.h"
#include "workers/engine/graph/passes/simplify.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/import/onnx.h"

namespace condense::onnx_export {
namespace {

using graph::Graph;

// x [N, 3, 8, 8] -> Conv with 2 filters of 3x3: 0, .5, 1, ...
Graph Small() {
  Graph graph;
  std::vector<float> values(54);
  for (int i = 0; i < 54; ++i) values[i] = 0.5f * i;
  const auto x = graph.AddInput("x", graph::DType::kFloat32,
                                graph::Shape{graph::Dim::Symbol("N"), 3, 8, 8});
  const auto w =
      graph.AddConstant("w", graph::Tensor::Of<float>({2, 3, 3, 3}, values));
  graph.AddOutput(
      graph.node(graph.AddNode("Conv", "c", {x, w}, {"y"})).outputs[0]);
  EXPECT_TRUE(graph::Simplify(graph).ok());
  return graph;
}

TEST(ExportOnnxTest, WeightsInHalfOfTheBytesComeBack) {
  const Graph graph = Small();
  for (graph::DType type : {graph::DType::kFloat16, graph::DType::kBFloat16}) {
    const auto bytes = ExportOnnx(graph, {.weights = type});
    ASSERT_TRUE(bytes.ok());
    onnx::ModelProto written;
    ASSERT_TRUE(written.ParseFromString(*bytes));
    EXPECT_EQ(written.graph().initializer(0).raw_data().size(), 54u * 2);
    const auto again = onnx_import::ImportOnnx(*bytes);
    ASSERT_TRUE(again.ok()) << ErrorText(again.status());
    EXPECT_EQ(graph::ToText(*again), graph::ToText(graph));
    // Halves up to 26.5 are exact in both.
    EXPECT_EQ(again->ConstantOf(again->FindValue("w"))->ToFloats(),
              graph.ConstantOf(graph.FindValue("w"))->ToFloats());
  }
}

// One MatMul with a weight that is almost all zeros.
Graph MostlyZero() {
  Graph graph;
  std::vector<float> values(64 * 64, 0);
  values[3] = 1;
  values[4000] = -2;
  const auto x = graph.AddInput("x", graph::DType::kFloat32,
                                graph::Shape{graph::Dim::Symbol("N"), 64});
  const auto w =
      graph.AddConstant("w", graph::Tensor::Of<float>({64, 64}, values));
  graph.AddOutput(
      graph.node(graph.AddNode("MatMul", "m", {x, w}, {"y"})).outputs[0]);
  return graph;
}

TEST(ExportOnnxTest, SparseInitializersAreSmallAndComeBack) {
  const Graph graph = MostlyZero();
  const auto bytes = ExportOnnx(graph, {.sparse = true});
  ASSERT_TRUE(bytes.ok());
  EXPECT_LT(bytes->size(), 400u);
  onnx::ModelProto written;
  ASSERT_TRUE(written.ParseFromString(*bytes));
  ASSERT_EQ(written.graph().sparse_initializer_size(), 1);
  const auto again = onnx_import::ImportOnnx(*bytes);
  ASSERT_TRUE(again.ok()) << ErrorText(again.status());
  EXPECT_EQ(*again->ConstantOf(again->FindValue("w")),
            *graph.ConstantOf(graph.FindValue("w")));
  EXPECT_GT(ExportOnnx(graph)->size(), 16384u);
}

// A folder that goes with the test.
class FolderTest : public ::testing::Test {
 protected:
  FolderTest() : folder_(absl::StrCat(::testing::TempDir(), "/onnx_files-", getpid())) {
    std::filesystem::create_directories(folder_);
  }
  ~FolderTest() override { std::filesystem::remove_all(folder_); }
  const std::string folder_;
};

TEST_F(FolderTest, ExternalDataLiesBesideTheModelAndComesBack) {
  const Graph graph = MostlyZero();
  const std::string path = folder_ + "/model.onnx";
  FileOptions options;
  options.external_data = true;
  ASSERT_TRUE(ExportOnnxFile(graph, path, options).ok());
  EXPECT_EQ(std::filesystem::file_size(path + ".data"), 64u * 64 * 4);
  EXPECT_LT(std::filesystem::file_size(path), 400u);
  // The two may move together.
  std::filesystem::rename(folder_, folder_ + "_moved");
  const auto again = onnx_import::ImportOnnxFile(folder_ + "_moved/model.onnx");
  std::filesystem::remove_all(folder_ + "_moved");
  ASSERT_TRUE(again.ok()) << ErrorText(again.status());
  EXPECT_EQ(*again->ConstantOf(again->FindValue("w")),
            *graph.ConstantOf(graph.FindValue("w")));
}

TEST_F(FolderTest, WhatDoesNotFitOneFileGetsASecond) {
  const std::string path = folder_ + "/model.onnx";
  FileOptions options;
  options.inline_bytes_max = 64 * 64 * 4;
  ASSERT_TRUE(ExportOnnxFile(MostlyZero(), path, options).ok());
  EXPECT_FALSE(std::filesystem::exists(path + ".data"));
  --options.inline_bytes_max;
  ASSERT_TRUE(ExportOnnxFile(MostlyZero(), path, options).ok());
  EXPECT_TRUE(std::filesystem::exists(path + ".data"));
}

}  // namespace
}  // namespace condense::onnx_export
