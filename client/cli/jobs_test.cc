#include "absl/strings/str_cat.h"
#include "client/cli/cli_fixture.h"
#include "gmock/gmock.h"

namespace condense::cli {
namespace {

using testing::HasSubstr;

class JobsTest : public CliFixture {};

TEST_F(JobsTest, GetShowsWhereAJobStands) {
  v1::Job& job = server_.state().job;
  job.set_state(v1::Job::QUEUED);
  job.set_pending_reason(v1::Job::NO_MATCHING_WORKER);
  job.set_queue_position(1);
  EXPECT_EQ(Run({"get", "j-1"}), 0);
  EXPECT_THAT(out_, HasSubstr("QUEUED NO_MATCHING_WORKER (place 1)"));
  EXPECT_EQ(Run({"get", "projects/default/jobs/j-1", "--json"}), 0);
  EXPECT_EQ(JsonLines().at(0)["pending_reason"], "NO_MATCHING_WORKER");
}

TEST_F(JobsTest, AnUnknownJobExitsOne) {
  EXPECT_EQ(Run({"get", "j-2"}), 1);
  EXPECT_THAT(err_, HasSubstr("error: NOT_FOUND"));
  EXPECT_EQ(Run({"cancel", "j-2", "--json"}), 1);
  EXPECT_EQ(nlohmann::json::parse(err_)["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(Run({"watch", "j-2"}), 1);
  EXPECT_EQ(Run({"get", "a/b"}), 2);
}

TEST_F(JobsTest, ListGoesThroughAllPagesOrStopsAtTheLimit) {
  for (int i = 0; i < 7; ++i) {
    v1::Job job;
    job.set_name(absl::StrCat("projects/default/jobs/j-", i));
    server_.state().jobs.push_back(job);
  }
  EXPECT_EQ(Run({"list", "--json", "--page-size", "3"}), 0);
  ASSERT_EQ(JsonLines().size(), 7u);
  EXPECT_EQ(JsonLines()[6]["name"], "projects/default/jobs/j-6");
  EXPECT_EQ(Run({"list", "--json", "--page-size", "3", "--limit", "4"}), 0);
  EXPECT_EQ(JsonLines().size(), 4u);
  EXPECT_EQ(Run({"list"}), 0);
  EXPECT_THAT(out_, HasSubstr("j-6"));
}

TEST_F(JobsTest, WatchPrintsEveryEventAsJsonAndExitsByTheVerdict) {
  FinishJob(v1::Artifact::BELOW_ACCURACY);
  server_.state().watch_cuts = {4};
  EXPECT_EQ(Run({"watch", "j-1", "--json"}), 3);
  const auto lines = JsonLines();
  ASSERT_EQ(lines.size(), 9u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["sequence"], std::to_string(i + 1));
  }
  EXPECT_EQ(lines[8]["state"], "SUCCEEDED");
  EXPECT_EQ(Run({"watch", "j-1", "--json", "--from", "8"}), 3);
  EXPECT_EQ(JsonLines().size(), 2u);
}

TEST_F(JobsTest, WatchingACancelledJobExitsFive) {
  server_.state().events = SmallJobEvents();
  server_.state().events.back().set_state(v1::Job::CANCELLED);
  server_.state().job.set_state(v1::Job::CANCELLED);
  EXPECT_EQ(Run({"watch", "j-1"}), 5);
}

TEST_F(JobsTest, WatchGivesUpWhenTheServerStaysAway) {
  EXPECT_EQ(
      RunAlone({"watch", "j-1", "--retry", "0", "--server", "127.0.0.1:1"}), 6);
}

TEST_F(JobsTest, CancelSaysTheNewState) {
  EXPECT_EQ(Run({"cancel", "j-1"}), 0);
  EXPECT_EQ(out_, "projects/default/jobs/j-1 is CANCELLED\n");
}

TEST_F(JobsTest, ArtifactsAreListedWithTheirFiles) {
  FinishJob(v1::Artifact::PASSED);
  EXPECT_EQ(Run({"artifacts", "j-1"}), 0);
  EXPECT_THAT(out_, HasSubstr("model.onnx"));
  EXPECT_EQ(Run({"artifacts", "j-1", "--json"}), 0);
  EXPECT_EQ(JsonLines().at(0)["files"].size(), 2u);
}

}  // namespace
}  // namespace condense::cli
