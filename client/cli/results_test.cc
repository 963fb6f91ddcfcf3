#include "client/cli/cli_fixture.h"
#include "common/files.h"
#include "gmock/gmock.h"

namespace condense::cli {
namespace {

using testing::HasSubstr;

class ResultsTest : public CliFixture {
 protected:
  ResultsTest() { FinishJob(v1::Artifact::PASSED); }
};

TEST_F(ResultsTest, DownloadPutsEveryFileIntoAFolderPerProfile) {
  EXPECT_EQ(Run({"download", "j-1", "--out", root_.string(), "--json"}), 0)
      << err_;
  const auto lines = JsonLines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["name"], "model.onnx");
  EXPECT_EQ(*ReadFile(lines[0]["path"].get<std::string>()), "model.onnx");
}

TEST_F(ResultsTest, AProfileThatTheJobHasNotIsNamedWithTheNearest) {
  EXPECT_EQ(Run({"download", "j-1", "--out", root_.string(), "--profile",
                 "onnxruntime-cpu-x86-vni"}),
            1);
  EXPECT_THAT(err_, HasSubstr("nearest: onnxruntime-cpu-x86-vnni"));
}

TEST_F(ResultsTest, AJobWithoutArtifactsSaysSo) {
  server_.state().job.clear_artifacts();
  EXPECT_EQ(Run({"report", "j-1"}), 1);
  EXPECT_THAT(err_, HasSubstr("NO_ARTIFACTS"));
}

TEST_F(ResultsTest, ReportShowsTheTableAndSavesThePage) {
  EXPECT_EQ(Run({"report", "j-1", "--out", root_.string()}), 0) << err_;
  EXPECT_THAT(out_, HasSubstr("PASSED"));
  EXPECT_THAT(out_, HasSubstr("200 B (20 %)"));
  EXPECT_TRUE(std::filesystem::exists(root_ / "onnxruntime-cpu-x86-vnni" /
                                      "report.html"));
  EXPECT_FALSE(std::filesystem::exists(root_ / "onnxruntime-cpu-x86-vnni" /
                                       "model.onnx"));
}

TEST_F(ResultsTest, ADamagedReportIsAnErrorNotAnEmptyTable) {
  server_.state().blobs[server_.state().job.artifacts(0).report_digest()] = "x";
  EXPECT_EQ(Run({"report", "j-1", "--out", root_.string()}), 1);
  EXPECT_THAT(err_, HasSubstr("DIGEST_MISMATCH"));
}

}  // namespace
}  // namespace condense::cli
