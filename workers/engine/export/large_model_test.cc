// A model of 2.2 GB, which no ONNX file can hold alone.

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "gtest/gtest.h"
#include "workers/engine/export/onnx.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/import/onnx.h"

namespace condense::onnx_export {
namespace {

using graph::Graph;
using graph::Tensor;

constexpr int64_t kWidth = 1 << 14;
constexpr int kLayers = 9;  // of 256 MiB

// Layers of [16384, 4096] that share one tensor in memory.
Graph Large() {
  Graph g;
  std::string bytes(kWidth * kWidth, '\0');
  bytes.back() = 1;
  const Tensor weight(graph::DType::kFloat32, {kWidth, kWidth / 4},
                      std::move(bytes));
  const auto x = g.AddInput("x", graph::DType::kFloat32,
                            graph::Shape{graph::Dim::Symbol("N"), kWidth});
  for (int i = 0; i < kLayers; ++i) {
    const auto w = g.AddConstant(absl::StrCat("w", i), weight);
    g.AddOutput(g.node(g.AddNode("MatMul", "", {x, w}, {absl::StrCat("y", i)}))
                    .outputs[0]);
  }
  return g;
}

TEST(LargeModelTest, GoesToTwoFilesAndComesBack) {
  const std::string folder = ::testing::TempDir() + "/large_model";
  const auto space = std::filesystem::space(::testing::TempDir());
  if (space.available < (uintmax_t{5} << 30)) GTEST_SKIP() << "no disk space";
  std::filesystem::create_directories(folder);
  const std::string path = folder + "/model.onnx";
  {
    const Graph graph = Large();
    EXPECT_EQ(ErrorReason(ExportOnnx(graph).status()), "MODEL_TOO_LARGE");
    const absl::Status written = ExportOnnxFile(graph, path);
    ASSERT_TRUE(written.ok()) << ErrorText(written);
  }
  EXPECT_LT(std::filesystem::file_size(path), 10000u);
  EXPECT_GT(std::filesystem::file_size(path + ".data"), uintmax_t{1} << 31);
  const auto again = onnx_import::ImportOnnxFile(path);
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(again.ok()) << ErrorText(again.status());
  EXPECT_EQ(again->outputs().size(), size_t{kLayers});
  const Tensor* last =
      again->ConstantOf(again->FindValue(absl::StrCat("w", kLayers - 1)));
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->bytes().size(), size_t{kWidth * kWidth});
  EXPECT_EQ(last->bytes().back(), 1);
}

}  // namespace
}  // namespace condense::onnx_export
