// The text form holds all of every real model.

#include <algorithm>
#include <filesystem>

#include "gtest/gtest.h"
#include "tests/testing/shared_dir.h"
#include "workers/engine/graph/parse.h"
#include "workers/engine/graph/same_graph.h"
#include "workers/engine/graph/text.h"
#include "workers/engine/graph/verify.h"
#include "workers/engine/import/onnx.h"

namespace condense {
namespace {

TEST(TextFormTest, EveryOnnxModelComesBackFromItsText) {
  const std::string shared = testing::SharedDir();
  if (shared.empty()) GTEST_SKIP() << "../shared is not there";
  std::vector<std::string> paths;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(shared + "/models")) {
    if (entry.path().extension() == ".onnx") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  EXPECT_GT(paths.size(), 10u);
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    const auto graph = onnx_import::ImportOnnxFile(path);
    ASSERT_TRUE(graph.ok()) << graph.status();
    EXPECT_TRUE(graph::Verify(*graph).ok()) << graph::Verify(*graph);
    const auto again = graph::Parse(graph::ToText(*graph));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(graph::Difference(*graph, *again), "");
  }
}

}  // namespace
}  // namespace condense
