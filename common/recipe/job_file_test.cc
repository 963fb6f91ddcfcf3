#include "common/recipe/job_file.h"

#include <filesystem>

#include "common/error.h"
#include "common/files.h"
#include "common/recipe/recipe.h"
#include "gtest/gtest.h"

namespace condense::recipe {
namespace {

class JobFileTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "/condense_job_file_test_" +
           testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(dir_ + "/" + name, text).ok());
  }
  std::string dir_;
};

TEST_F(JobFileTest, ReadsYamlWithARecipeBesideIt) {
  Write("recipe.yaml", "stages: [quantize: {mode: ptq}]\n");
  Write("job.yaml",
        "{model: m.onnx, recipe: recipe.yaml, data: {test: t}, profiles: [p]}");
  const auto job = LoadJobFile(dir_);
  ASSERT_TRUE(job.ok()) << ErrorText(job.status());
  EXPECT_EQ(job->file.model(), dir_ + "/m.onnx");
  EXPECT_EQ(job->file.data().at("test"), dir_ + "/t");
  EXPECT_EQ(job->recipe_text, "stages: [quantize: {mode: ptq}]\n");
}

TEST_F(JobFileTest, ReadsAnInlineRecipe) {
  Write(
      "job.json",
      R"({"model": "/m", "profiles": ["p"], "recipe": {"stages": [{"quantize": {"mode": "ptq"}}]}})");
  const auto job = LoadJobFile(dir_);
  ASSERT_TRUE(job.ok()) << ErrorText(job.status());
  EXPECT_EQ(job->file.model(), "/m");
  EXPECT_TRUE(ParseRecipe(job->recipe_text).ok()) << job->recipe_text;
}

TEST_F(JobFileTest, SaysWhatIsMissing) {
  EXPECT_EQ(ErrorReason(LoadJobFile(dir_).status()), "NO_JOB_FILE");
  Write("job.yaml", "{recipe: r.yaml, profiles: [p]}");
  EXPECT_EQ(ErrorDetailOf(LoadJobFile(dir_).status()).field, "model");
}

}  // namespace
}  // namespace condense::recipe
