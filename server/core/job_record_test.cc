#include "server/core/job_record.h"

#include "gtest/gtest.h"

namespace condense {
namespace {

const absl::Time kNow = absl::FromUnixSeconds(1000) + absl::Nanoseconds(5);

TEST(JobRecordTest, TimesSurviveTheWayThroughTheProto) {
  EXPECT_EQ(FromProto(ToProto(kNow)), kNow);
}

TEST(JobRecordTest, EventsSetWhatTheyAreAbout) {
  v1::Job job;
  v1::JobEvent event;
  event.set_phase(v1::Job::QAT);
  event.mutable_progress()->set_step(3);
  ApplyEvent(event, job);
  event.Clear();
  event.mutable_checkpoint()->set_digest("sha256:1");
  ApplyEvent(event, job);
  EXPECT_EQ(job.phase(), v1::Job::QAT);
  EXPECT_EQ(job.progress().step(), 3);
  EXPECT_EQ(job.checkpoint().digest(), "sha256:1");
}

TEST(JobRecordTest, ASecondArtifactOfAProfileReplacesTheFirst) {
  v1::Job job;
  v1::JobEvent event;
  event.mutable_artifact()->set_profile("p");
  event.mutable_artifact()->set_verdict(v1::Artifact::TOO_LARGE);
  ApplyEvent(event, job);
  event.mutable_artifact()->set_verdict(v1::Artifact::PASSED);
  ApplyEvent(event, job);
  ASSERT_EQ(job.artifacts_size(), 1);
  EXPECT_EQ(job.artifacts(0).verdict(), v1::Artifact::PASSED);
}

TEST(JobRecordTest, AnAttemptRunsFromStartToEnd) {
  JobRecord record;
  record.next_index = 9;
  EXPECT_EQ(RunningAttempt(record.job), nullptr);
  EXPECT_EQ(StartAttempt(record, "w", kNow).state(), v1::Job::RUNNING);
  EXPECT_EQ(record.next_index, 0);
  EXPECT_EQ(RunningAttempt(record.job)->number(), 1);
  EndAttempt(record.job, v1::Attempt::LEASE_EXPIRED, "R", kNow);
  EXPECT_EQ(RunningAttempt(record.job), nullptr);
  EXPECT_EQ(FailedAttempts(record.job), 1);
  StartAttempt(record, "w", kNow);
  EndAttempt(record.job, v1::Attempt::RELEASED, "R", kNow);
  EXPECT_EQ(FailedAttempts(record.job), 1);
}

}  // namespace
}  // namespace condense
