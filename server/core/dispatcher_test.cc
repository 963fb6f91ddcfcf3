#include "server/core/dispatcher.h"

#include <future>

#include "common/error.h"
#include "gtest/gtest.h"
#include "server/core/errors.h"
#include "tests/testing/fake_blob_store.h"
#include "tests/testing/fake_clock.h"

namespace condense {
namespace {

// A store in memory that can be told to fail. Holds what was committed.
class FakeJobStore : public JobStore {
 public:
  absl::Status Commit(const std::vector<JobChange>& changes) override {
    absl::MutexLock lock(&mu_);
    ++commits_;
    if (fail_) return StoreFailed("write", "the disk is gone");
    for (const JobChange& change : changes) {
      records_[change.record.job.name()] = change.record;
      for (const v1::JobEvent& event : change.events) events_.push_back(event);
    }
    return absl::OkStatus();
  }
  absl::StatusOr<JobRecord> Get(absl::string_view name) override {
    absl::MutexLock lock(&mu_);
    auto it = records_.find(std::string(name));
    if (it == records_.end()) return JobNotFound(name);
    return it->second;
  }
  absl::StatusOr<std::optional<JobRecord>> FindByRequest(
      absl::string_view, absl::string_view) override {
    return std::optional<JobRecord>();
  }
  absl::StatusOr<std::vector<JobRecord>> LoadUnfinished() override {
    absl::MutexLock lock(&mu_);
    std::vector<JobRecord> records;
    for (const auto& [name, record] : records_) records.push_back(record);
    return records;
  }
  absl::StatusOr<std::map<v1::Job::State, int64_t>> CountByState() override {
    return std::map<v1::Job::State, int64_t>{{v1::Job::FAILED, 3},
                                             {v1::Job::QUEUED, 9}};
  }
  absl::StatusOr<std::vector<ListedJob>> List(absl::string_view, int64_t,
                                              int) override {
    return std::vector<ListedJob>();
  }
  absl::StatusOr<std::vector<v1::JobEvent>> ReadEvents(absl::string_view,
                                                       int64_t, int) override {
    absl::MutexLock lock(&mu_);
    return events_;
  }

  void SetFail(bool fail) {
    absl::MutexLock lock(&mu_);
    fail_ = fail;
  }
  int commits() {
    absl::MutexLock lock(&mu_);
    return commits_;
  }

 private:
  absl::Mutex mu_;
  bool fail_ ABSL_GUARDED_BY(mu_) = false;
  int commits_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, JobRecord> records_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::JobEvent> events_ ABSL_GUARDED_BY(mu_);
};

class DispatcherTest : public ::testing::Test {
 protected:
  DispatcherTest() { EXPECT_TRUE(dispatcher_.Start().ok()); }

  std::future<absl::StatusOr<v1::Job>> Create() {
    auto promise = std::make_shared<std::promise<absl::StatusOr<v1::Job>>>();
    dispatcher_.CreateJob("p", JobRecord(), [promise](auto job) {
      promise->set_value(std::move(job));
    });
    return promise->get_future();
  }

  absl::StatusOr<v1::SyncResponse> Sync(int slots) {
    v1::SyncRequest request;
    request.mutable_worker()->set_name("w1");
    request.mutable_worker()->set_slots(slots);
    request.mutable_worker()->add_devices()->set_kind(
        v1::DeviceRequirement::CPU);
    auto promise =
        std::make_shared<std::promise<absl::StatusOr<v1::SyncResponse>>>();
    dispatcher_.Sync(
        request, [promise](auto wish) { promise->set_value(std::move(wish)); });
    return promise->get_future().get();
  }

  FakeClock clock_;
  FakeJobStore store_;
  FakeBlobStore blobs_;
  WatchHub hub_;
  ServerMetrics metrics_;
  Dispatcher dispatcher_{{.clock = &clock_,
                          .jobs = &store_,
                          .blobs = &blobs_,
                          .hub = &hub_,
                          .metrics = &metrics_},
                         {.lease = absl::Seconds(30)}};
};

TEST_F(DispatcherTest, WhatIsAnsweredIsStored) {
  const v1::Job job = Create().get().value();
  EXPECT_TRUE(store_.Get(job.name()).ok());
}

TEST_F(DispatcherTest, ACallThatCouldNotBeStoredFailsAndLeavesNoTrace) {
  const std::string kept = Create().get()->name();
  store_.SetFail(true);
  EXPECT_EQ(ErrorReason(Create().get().status()), "STORE_FAILED");
  EXPECT_EQ(ErrorReason(Sync(2).status()), "STORE_FAILED");  // Not leased.
  store_.SetFail(false);
  const v1::SyncResponse wish = Sync(2).value();
  ASSERT_EQ(wish.assignments_size(), 1);
  EXPECT_EQ(wish.assignments(0).lease().job(), kept);
  EXPECT_EQ(wish.assignments(0).lease().epoch(), 1);
  EXPECT_EQ(store_.Get(kept)->job.state(), v1::Job::RUNNING);
  EXPECT_EQ(store_.ReadEvents(kept, 1, 10)->size(), 2u);
}

TEST_F(DispatcherTest, HeartbeatsCostNoWrite) {
  ASSERT_TRUE(Create().get().ok());
  ASSERT_TRUE(Sync(1).ok());
  const int commits = store_.commits();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Sync(1).ok());
  EXPECT_EQ(store_.commits(), commits);
}

TEST_F(DispatcherTest, CallsAfterStopAreRefused) {
  dispatcher_.Stop();
  EXPECT_EQ(ErrorReason(Create().get().status()), "SERVER_STOPPING");
  EXPECT_EQ(ErrorReason(Sync(1).status()), "SERVER_STOPPING");
}

TEST_F(DispatcherTest, GaugesAddFinishedJobsOfTheStore) {
  ASSERT_TRUE(Create().get().ok());
  const ServerGauges gauges = dispatcher_.Gauges();
  EXPECT_EQ(gauges.jobs.at(v1::Job::FAILED), 3);
  EXPECT_EQ(gauges.jobs.at(v1::Job::QUEUED), 1);
}

}  // namespace
}  // namespace condense
