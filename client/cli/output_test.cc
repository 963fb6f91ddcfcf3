#include "client/cli/output.h"

#include <sstream>

#include "common/error.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace condense::cli {
namespace {

v1::Job Succeeded(std::vector<v1::Artifact::Verdict> verdicts) {
  v1::Job job;
  job.set_state(v1::Job::SUCCEEDED);
  for (const auto verdict : verdicts) job.add_artifacts()->set_verdict(verdict);
  return job;
}

TEST(ExitCodeTest, FollowsTheStatus) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("")), 1);
  EXPECT_EQ(ExitCodeOf(absl::FailedPreconditionError("")), 1);
  EXPECT_EQ(ExitCodeOf(absl::InvalidArgumentError("")), 2);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("")), 6);
}

TEST(ExitCodeTest, FollowsTheWorstOfAJob) {
  EXPECT_EQ(ExitCodeOf(Succeeded({v1::Artifact::PASSED})), 0);
  EXPECT_EQ(
      ExitCodeOf(Succeeded({v1::Artifact::PASSED, v1::Artifact::TOO_LARGE})),
      3);
  v1::Job job;
  job.set_state(v1::Job::FAILED);
  EXPECT_EQ(ExitCodeOf(job), 4);
  job.set_state(v1::Job::CANCELLED);
  EXPECT_EQ(ExitCodeOf(job), 5);
  job.set_state(v1::Job::RUNNING);
  EXPECT_EQ(ExitCodeOf(job), 0);
}

TEST(JsonTest, KeepsProtoNamesEnumNamesAndZerosThatAreSet) {
  v1::Job job;
  job.set_state(v1::Job::QUEUED);
  job.set_queue_position(0);
  job.mutable_progress()->set_step(0);
  EXPECT_EQ(ToJson(job),
            R"({"state":"QUEUED","queue_position":0,"progress":{"step":"0"}})");
}

TEST(ErrorPrintTest, IsTextOrOneJsonObject) {
  const absl::Status status =
      MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY", "no 'epoch'",
                {.line = 3, .column = 5, .nearest = "epochs"});
  std::ostringstream text;
  PrintError(text, status, false);
  EXPECT_EQ(text.str(),
            "error: INVALID_ARGUMENT UNKNOWN_KEY: no 'epoch'\n"
            "  at: line 3:5\n"
            "  nearest: epochs\n");
  std::ostringstream json;
  PrintError(json, status, true);
  const auto error = nlohmann::json::parse(json.str())["error"];
  EXPECT_EQ(error["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(error["reason"], "UNKNOWN_KEY");
  EXPECT_EQ(error["line"], 3);
  EXPECT_EQ(error["nearest"], "epochs");
}

TEST(HumanTest, DurationsAreClockTimes) {
  EXPECT_EQ(HumanDuration(absl::Seconds(7)), "0:07");
  EXPECT_EQ(HumanDuration(absl::Seconds(7389)), "2:03:09");
  EXPECT_EQ(HumanDuration(-absl::Seconds(7)), "0:00");
}

}  // namespace
}  // namespace condense::cli
