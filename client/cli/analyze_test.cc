#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "client/cli/app.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::cli {
namespace {

namespace fs = std::filesystem;

TEST(AnalyzeTest, BecomesTheEngineInPathWithItsFlags) {
  const fs::path folder = fs::path(testing::TempDir()) / "analyze_test";
  fs::create_directories(folder);
  std::ofstream(folder / "condense-engine")
      << "#!/bin/sh\necho \"$@\" >&2\nexit 7\n";
  fs::permissions(folder / "condense-engine", fs::perms::owner_all);
  const std::string path = getenv("PATH");
  setenv("PATH", (folder.string() + ":" + path).c_str(), 1);
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EXIT(RunCondense({"analyze", "--model", "m.onnx", "--profile", "p"},
                          out, err, -1),
              testing::ExitedWithCode(7), "^analyze m.onnx --profile p\n");
  EXPECT_EXIT(RunCondense({"analyze", "m.onnx", "--json"}, out, err, -1),
              testing::ExitedWithCode(7), "^analyze m.onnx --json\n");
  EXPECT_EXIT(RunCondense({"analyze", "--model=m.pt", "--input-shape",
                           "Nx3x8x8", "--sort", "time", "--all"},
                          out, err, -1),
              testing::ExitedWithCode(7),
              "^analyze m.pt --input-shape Nx3x8x8 --sort time --all\n");
  EXPECT_EXIT(RunCondense({"--json", "analyze", "m.onnx"}, out, err, -1),
              testing::ExitedWithCode(7), "^analyze --json m.onnx\n");
  setenv("PATH", path.c_str(), 1);
  fs::remove_all(folder);
}

TEST(AnalyzeTest, AMissingEngineIsNamed) {
  const std::string path = getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(RunCondense({"analyze", "m.onnx"}, out, err, -1), 1);
  EXPECT_THAT(err.str(), testing::HasSubstr("ENGINE_NOT_FOUND"));
  setenv("PATH", path.c_str(), 1);
}

}  // namespace
}  // namespace condense::cli
