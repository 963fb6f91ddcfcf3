#include "server/core/job_table.h"

#include <set>

#include "common/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/core/job_record.h"
#include "tests/testing/fake_blob_store.h"

namespace condense {
namespace {

constexpr char kJob[] = "projects/p/jobs/j-1";
constexpr char kProfile[] = "onnxruntime-cpu-x86-vnni";

class JobTableTest : public ::testing::Test {
 protected:
  JobTableTest() { Connect("w1"); }

  void Add(const std::string& name = kJob, int max_attempts = 0) {
    JobRecord record;
    record.job.set_name(name);
    record.job.mutable_spec()->add_profiles(kProfile);
    record.job.mutable_spec()->set_max_attempts(max_attempts);
    table_.Add(std::move(record), now_);
  }

  v1::SyncRequest SyncOf(const std::string& worker, int64_t version = 1) {
    v1::SyncRequest request;
    request.mutable_worker()->set_name(worker);
    request.mutable_worker()->set_slots(1);
    request.mutable_worker()->add_devices()->set_kind(
        v1::DeviceRequirement::CPU);
    request.set_known_version(version);
    return request;
  }

  void Connect(const std::string& worker) {
    table_.HeardFrom(SyncOf(worker), now_);
  }

  // Leases the queue's first job to the worker.
  void Lease(const std::string& worker = "w1") {
    Connect(worker);
    table_.Dispatch({worker}, now_);
    ASSERT_EQ(table_.workers().JobsOf(worker).size(), 1u);
  }

  v1::JobEvent Progress(int64_t step) {
    v1::JobEvent event;
    event.set_type("progress");
    event.set_phase(v1::Job::QAT);
    event.mutable_progress()->set_step(step);
    return event;
  }

  absl::StatusOr<int64_t> Report(int epoch, int64_t first,
                                 std::vector<v1::JobEvent> events) {
    v1::ReportEventsRequest request;
    request.mutable_lease()->set_job(kJob);
    request.mutable_lease()->set_epoch(epoch);
    request.set_first_index(first);
    for (v1::JobEvent& event : events) *request.add_events() = event;
    return table_.ReportEvents(request, now_);
  }

  absl::Status Complete(int epoch, v1::Attempt::Outcome outcome,
                        bool retryable = false, bool with_artifact = true) {
    v1::CompleteLeaseRequest request;
    request.mutable_lease()->set_job(kJob);
    request.mutable_lease()->set_epoch(epoch);
    request.set_outcome(outcome);
    request.set_retryable(retryable);
    if (outcome == v1::Attempt::FAILED) {
      request.mutable_error()->set_reason("ENGINE_DIED");
    }
    if (outcome == v1::Attempt::SUCCEEDED && with_artifact) {
      v1::Artifact* artifact = request.add_artifacts();
      artifact->set_profile(kProfile);
      artifact->set_verdict(v1::Artifact::PASSED);
      artifact->add_files()->set_digest(stored_);
    }
    return table_.CompleteLease(request, now_);
  }

  const v1::Job& Job(const std::string& name = kJob) {
    for (JobChange& change : table_.TakeChanges()) {
      const std::string changed = change.record.job.name();
      for (v1::JobEvent& event : change.events) {
        events_[changed].push_back(event);
      }
      last_[changed] = change.record.job;
    }
    return last_[name];
  }

  FakeBlobStore blobs_;
  ServerMetrics metrics_;
  JobTable table_{{.lease = absl::Seconds(30)}, &blobs_, &metrics_};
  absl::Time now_ = absl::FromUnixSeconds(1000);
  const std::string stored_ = blobs_.Put("model");
  std::map<std::string, std::vector<v1::JobEvent>> events_;
  std::map<std::string, v1::Job> last_;
};

TEST_F(JobTableTest, ANewJobIsQueuedWithItsFirstEvent) {
  Add();
  EXPECT_EQ(Job().state(), v1::Job::QUEUED);
  ASSERT_EQ(events_[kJob].size(), 1u);
  EXPECT_EQ(events_[kJob][0].sequence(), 1);
  EXPECT_EQ(events_[kJob][0].state(), v1::Job::QUEUED);
}

TEST_F(JobTableTest, AFreeSlotGetsTheJobWithAllItNeeds) {
  Add();
  Lease();
  const v1::SyncResponse wish = table_.WishFor(SyncOf("w1"));
  ASSERT_EQ(wish.assignments_size(), 1);
  EXPECT_EQ(wish.assignments(0).wish(), v1::Assignment::RUN);
  EXPECT_EQ(wish.assignments(0).lease().epoch(), 1);
  EXPECT_EQ(wish.assignments(0).job().name(), kJob);
  EXPECT_EQ(wish.lease().seconds(), 30);
  EXPECT_EQ(Job().state(), v1::Job::RUNNING);
  EXPECT_TRUE(Job().has_start_time());
}

TEST_F(JobTableTest, AListedLeaseIsNotSentAgainAndKeepsTheVersion) {
  Add();
  Lease();
  v1::SyncRequest busy = SyncOf("w1");
  busy.add_busy()->mutable_lease()->set_job(kJob);
  busy.mutable_busy(0)->mutable_lease()->set_epoch(1);
  const v1::SyncResponse first = table_.WishFor(SyncOf("w1"));
  const v1::SyncResponse second = table_.WishFor(busy);
  EXPECT_EQ(first.wish_version(), second.wish_version());
  EXPECT_FALSE(second.assignments(0).has_job());
  table_.Cancel(kJob, now_);
  EXPECT_NE(table_.WishFor(busy).wish_version(), first.wish_version());
}

TEST_F(JobTableTest, LeaseOfASilentWorkerGoesBackToTheQueueAndKeepsItsPlace) {
  Add();
  Lease();
  now_ += absl::Seconds(29);
  EXPECT_EQ(table_.ExpireLeases(now_), 0);
  now_ += absl::Seconds(1);
  EXPECT_EQ(table_.ExpireLeases(now_), 1);
  EXPECT_EQ(Job().state(), v1::Job::QUEUED);
  ASSERT_EQ(Job().attempts_size(), 1);
  EXPECT_EQ(Job().attempts(0).outcome(), v1::Attempt::LEASE_EXPIRED);
  EXPECT_EQ(Job().attempts(0).reason(), "WORKER_SILENT");
  EXPECT_EQ(table_.workers().List(now_)[0].state(), v1::Worker::LOST);
}

TEST_F(JobTableTest, ASyncThatNamesTheLeaseRenewsIt) {
  Add();
  Lease();
  v1::SyncRequest busy = SyncOf("w1");
  busy.add_busy()->mutable_lease()->set_job(kJob);
  busy.mutable_busy(0)->mutable_lease()->set_epoch(1);
  for (int i = 0; i < 5; ++i) {
    now_ += absl::Seconds(20);
    table_.HeardFrom(busy, now_);
    EXPECT_EQ(table_.ExpireLeases(now_), 0);
  }
}

TEST_F(JobTableTest, TheNextAttemptResumesFromTheNewestStoredCheckpoint) {
  Add();
  Lease();
  v1::JobEvent stored;
  stored.set_type("checkpoint");
  stored.mutable_checkpoint()->set_digest(stored_);
  stored.mutable_checkpoint()->set_step(40);
  v1::JobEvent lost = stored;
  lost.mutable_checkpoint()->set_digest(DigestOf("never uploaded"));
  lost.mutable_checkpoint()->set_step(50);
  EXPECT_EQ(Report(1, 0, {stored, lost}).value(), 2);
  now_ += absl::Seconds(30);
  table_.ExpireLeases(now_);
  Lease("w2");
  const v1::SyncResponse wish = table_.WishFor(SyncOf("w2"));
  EXPECT_EQ(wish.assignments(0).resume_from().digest(), stored_);
  EXPECT_EQ(Job().attempts(1).resumed_from_checkpoint(), stored_);
  EXPECT_EQ(Job().attempts(1).resumed_from_step(), 40);
}

TEST_F(JobTableTest, RepeatedEventsAreIgnoredAndSequencesHaveNoGap) {
  Add();
  Lease();
  EXPECT_EQ(Report(1, 0, {Progress(1), Progress(2)}).value(), 2);
  EXPECT_EQ(Report(1, 1, {Progress(2), Progress(3)}).value(), 3);
  EXPECT_EQ(Report(1, 0, {Progress(1)}).value(), 3);
  EXPECT_EQ(ErrorReason(Report(1, 4, {Progress(5)}).status()),
            "EVENTS_MISSING");
  EXPECT_EQ(Job().progress().step(), 3);
  EXPECT_EQ(Job().phase(), v1::Job::QAT);
  std::vector<int64_t> sequences;
  for (const v1::JobEvent& event : events_[kJob]) {
    sequences.push_back(event.sequence());
  }
  EXPECT_THAT(sequences, ::testing::ElementsAre(1, 2, 3, 4, 5));
}

TEST_F(JobTableTest, AZombieCanNeitherReportNorComplete) {
  Add();
  Lease();
  now_ += absl::Seconds(30);
  table_.ExpireLeases(now_);
  EXPECT_EQ(ErrorReason(Report(1, 0, {Progress(1)}).status()), "STALE_EPOCH");
  Lease("w2");
  EXPECT_EQ(ErrorReason(Report(1, 0, {Progress(1)}).status()), "STALE_EPOCH");
  EXPECT_EQ(ErrorReason(Complete(1, v1::Attempt::SUCCEEDED)), "STALE_EPOCH");
  EXPECT_EQ(Job().state(), v1::Job::RUNNING);
  EXPECT_FALSE(Job().has_progress());
}

TEST_F(JobTableTest, SuccessNeedsAStoredArtifactForEveryProfile) {
  Add();
  Lease();
  EXPECT_EQ(ErrorReason(Complete(1, v1::Attempt::SUCCEEDED, false, false)),
            "ARTIFACT_INCOMPLETE");
  v1::CompleteLeaseRequest request;
  request.mutable_lease()->set_job(kJob);
  request.mutable_lease()->set_epoch(1);
  request.set_outcome(v1::Attempt::SUCCEEDED);
  v1::Artifact* artifact = request.add_artifacts();
  artifact->set_profile(kProfile);
  artifact->add_files()->set_digest(stored_);
  EXPECT_EQ(ErrorReason(table_.CompleteLease(request, now_)),
            "ARTIFACT_INCOMPLETE");  // No verdict.
  artifact->set_verdict(v1::Artifact::TOO_LARGE);
  artifact->add_files()->set_digest(DigestOf("never uploaded"));
  EXPECT_EQ(ErrorReason(table_.CompleteLease(request, now_)),
            "ARTIFACT_INCOMPLETE");
  EXPECT_EQ(Job().state(), v1::Job::RUNNING);
  artifact->mutable_files()->RemoveLast();
  EXPECT_TRUE(table_.CompleteLease(request, now_).ok());
  EXPECT_EQ(Job().state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(Job().artifacts(0).verdict(), v1::Artifact::TOO_LARGE);
  EXPECT_EQ(events_[kJob].back().state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(table_.Find(kJob), nullptr);
  EXPECT_TRUE(JobTable::IsCompleted(Job(), 1));
}

TEST_F(JobTableTest, AJobsOwnFaultIsNotTriedAgain) {
  Add();
  Lease();
  EXPECT_TRUE(Complete(1, v1::Attempt::FAILED).ok());
  EXPECT_EQ(Job().state(), v1::Job::FAILED);
  EXPECT_EQ(Job().error().reason(), "ENGINE_DIED");
  EXPECT_EQ(events_[kJob].back().error().reason(), "ENGINE_DIED");
  EXPECT_TRUE(Job().has_end_time());
}

TEST_F(JobTableTest, FailuresOfTheInfrastructureAreTriedAgainUpToMaxAttempts) {
  Add(kJob, 2);
  Lease();
  EXPECT_TRUE(Complete(1, v1::Attempt::FAILED, true).ok());
  EXPECT_EQ(Job().state(), v1::Job::QUEUED);
  EXPECT_TRUE(Complete(1, v1::Attempt::FAILED, true).ok());  // Repeated.
  table_.Dispatch({"w1"}, now_);
  EXPECT_EQ(Job().state(), v1::Job::QUEUED);  // Its backoff is not over.
  v1::Job shown = Job();
  table_.Annotate(shown, now_);
  EXPECT_EQ(shown.pending_reason(), v1::Job::BACKOFF);
  EXPECT_EQ(table_.NextDeadline(now_), now_ + absl::Seconds(1));
  now_ += absl::Seconds(1);
  Lease();
  EXPECT_TRUE(Complete(2, v1::Attempt::FAILED, true).ok());
  EXPECT_EQ(Job().state(), v1::Job::FAILED);
  EXPECT_EQ(Job().error().reason(), "ATTEMPTS_EXHAUSTED");
}

TEST_F(JobTableTest, AReleasedLeaseCountsAsNoFailure) {
  Add(kJob, 1);
  Lease();
  ASSERT_TRUE(Report(1, 0, {Progress(1)}).ok());
  EXPECT_TRUE(Complete(1, v1::Attempt::RELEASED).ok());
  EXPECT_EQ(Job().state(), v1::Job::QUEUED);
  Lease("w2");
  EXPECT_EQ(Job().attempts_size(), 2);
}

TEST_F(JobTableTest, AQueuedJobIsCancelledAtOnceARunningOneByItsWorker) {
  Add();
  EXPECT_EQ(table_.Cancel(kJob, now_).state(), v1::Job::CANCELLED);
  EXPECT_EQ(Job().state(), v1::Job::CANCELLED);
  table_.Dispatch({"w1"}, now_);
  EXPECT_TRUE(table_.workers().JobsOf("w1").empty());
}

TEST_F(JobTableTest, ACancelledRunningJobEndsHoweverItsWorkerEndsIt) {
  for (const auto outcome :
       {v1::Attempt::CANCELLED, v1::Attempt::SUCCEEDED, v1::Attempt::FAILED,
        v1::Attempt::RELEASED, v1::Attempt::LEASE_EXPIRED}) {
    Add();
    Lease();
    EXPECT_EQ(table_.Cancel(kJob, now_).state(), v1::Job::CANCELLING);
    EXPECT_EQ(table_.Cancel(kJob, now_).state(), v1::Job::CANCELLING);
    EXPECT_EQ(table_.WishFor(SyncOf("w1")).assignments(0).wish(),
              v1::Assignment::CANCEL);
    if (outcome == v1::Attempt::LEASE_EXPIRED) {
      now_ += absl::Seconds(30);
      table_.ExpireLeases(now_);
    } else {
      EXPECT_TRUE(Complete(1, outcome).ok());
    }
    EXPECT_EQ(Job().state(), v1::Job::CANCELLED) << outcome;
    EXPECT_TRUE(table_.workers().JobsOf("w1").empty());
  }
}

TEST_F(JobTableTest, ARestartedAgentLosesTheLeaseItDoesNotKnow) {
  Add();
  Lease();
  table_.HeardFrom(SyncOf("w1", 0), now_);  // Its answer was lost: sent again.
  EXPECT_EQ(table_.WishFor(SyncOf("w1", 0)).assignments_size(), 1);
  ASSERT_TRUE(Report(1, 0, {Progress(1)}).ok());
  table_.HeardFrom(SyncOf("w1", 0), now_);
  EXPECT_EQ(Job().state(), v1::Job::QUEUED);
  EXPECT_EQ(Job().attempts(0).reason(), "WORKER_RESTARTED");
}

TEST_F(JobTableTest, AfterARestartWorkersHaveAFullLeaseToReportAgain) {
  Add();
  Add("projects/p/jobs/j-2");
  Lease();
  ASSERT_TRUE(Report(1, 0, {Progress(1)}).ok());
  std::vector<JobRecord> records;
  for (JobChange& change : table_.TakeChanges()) {
    records.push_back(std::move(change.record));
  }
  const int64_t version = table_.WishFor(SyncOf("w1")).wish_version();
  now_ += absl::Hours(1);
  table_.Load(std::move(records), now_);
  EXPECT_EQ(table_.ExpireLeases(now_ + absl::Seconds(29)), 0);
  EXPECT_EQ(table_.WishFor(SyncOf("w1")).wish_version(), version);
  EXPECT_EQ(Report(1, 0, {Progress(1), Progress(2)}).value(), 2);
  EXPECT_EQ(Job().last_sequence(), 4);
  Lease("w2");
  EXPECT_EQ(Job("projects/p/jobs/j-2").state(), v1::Job::RUNNING);
}

TEST_F(JobTableTest, AQueuedJobKnowsItsPlaceAndWhyItWaits) {
  Add();
  now_ += absl::Seconds(1);
  Add("projects/p/jobs/j-2");
  v1::Job second = Job("projects/p/jobs/j-2");
  table_.Annotate(second, now_);
  EXPECT_EQ(second.queue_position(), 2);
  EXPECT_EQ(second.pending_reason(), v1::Job::WAITING_FOR_WORKER);
  now_ += absl::Seconds(30);  // The only worker is lost.
  table_.Annotate(second, now_);
  EXPECT_EQ(second.pending_reason(), v1::Job::NO_MATCHING_WORKER);
}

TEST_F(JobTableTest, GaugesCountWhatIsThere) {
  Add();
  Add("projects/p/jobs/j-2");
  Lease();
  now_ += absl::Seconds(7);
  const ServerGauges gauges = table_.Gauges(now_);
  EXPECT_EQ(gauges.jobs.at(v1::Job::QUEUED), 1);
  EXPECT_EQ(gauges.jobs.at(v1::Job::RUNNING), 1);
  EXPECT_EQ(gauges.workers.at(v1::Worker::BUSY), 1);
  EXPECT_EQ(gauges.demand.at(v1::DeviceRequirement::ANY), 2);
  EXPECT_EQ(gauges.oldest_queued, absl::Seconds(7));
  EXPECT_EQ(gauges.oldest_heartbeat, absl::Seconds(7));
}

}  // namespace
}  // namespace condense
