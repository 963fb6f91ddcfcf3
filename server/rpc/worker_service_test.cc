#include "server/rpc/worker_service.h"

#include <chrono>
#include <future>
#include <thread>

#include "server/rpc/rpc_test_base.h"

namespace condense {
namespace {

using WorkerServiceTest = RpcTest;

TEST_F(WorkerServiceTest, AnIdleWorkerIsGivenAJobWithoutATimer) {
  const int64_t version = Sync(WorkerState())->wish_version();
  // Time stands still: only the job can end this poll.
  auto poll = std::async(std::launch::async,
                         [&] { return Sync(WorkerState(version)); });
  const std::string name = Create(NewJob())->name();
  const v1::SyncResponse wish = poll.get().value();
  ASSERT_EQ(wish.assignments_size(), 1);
  EXPECT_EQ(wish.assignments(0).lease().job(), name);
  EXPECT_EQ(wish.assignments(0).job().resolved_recipe(), "resolved");
  EXPECT_EQ(Get(name)->state(), v1::Job::RUNNING);
}

TEST_F(WorkerServiceTest, ASilentWorkersJobGoesToAnother) {
  const v1::Lease lease = Leased();
  v1::SyncRequest other = WorkerState();
  other.mutable_worker()->set_name("w2");
  const int64_t idle = Sync(other)->wish_version();
  other.set_known_version(idle);
  auto poll = std::async(std::launch::async, [&] {
    absl::StatusOr<v1::SyncResponse> wish = Sync(other);
    while (wish.ok() && wish->assignments_size() == 0) wish = Sync(other);
    return wish;
  });
  Watcher watcher(*compression_, lease.job(), 3);
  clock_.Advance(absl::Seconds(30));
  EXPECT_EQ(poll.get()->assignments(0).lease().epoch(), 2);
  EXPECT_EQ(watcher.Next(), 3);  // QUEUED
  EXPECT_EQ(watcher.Next(), 4);  // RUNNING
  EXPECT_EQ(ErrorReason(Report(lease, 0, 1)), "STALE_EPOCH");
  EXPECT_EQ(ErrorReason(Complete(lease, v1::Attempt::SUCCEEDED)),
            "STALE_EPOCH");
}

TEST_F(WorkerServiceTest, APollIsAnsweredAfterAThirdOfTheLease) {
  const int64_t version = Sync(WorkerState())->wish_version();
  auto poll = std::async(std::launch::async,
                         [&] { return Sync(WorkerState(version)); });
  while (poll.wait_for(std::chrono::milliseconds(1)) !=
         std::future_status::ready) {
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(poll.get()->wish_version(), version);
}

TEST_F(WorkerServiceTest, StoppingEndsPollsWithUnavailable) {
  const int64_t version = Sync(WorkerState())->wish_version();
  clock_.Advance(absl::Seconds(1));
  auto poll = std::async(std::launch::async,
                         [&] { return Sync(WorkerState(version)); });
  // The poll is held from when its heartbeat has been noted.
  while (dispatcher_->Gauges().oldest_heartbeat > absl::ZeroDuration()) {
    std::this_thread::yield();
  }
  StopServer();
  EXPECT_EQ(poll.get().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(WorkerServiceTest, AnAgentThatHangsUpIsGivenNothing) {
  const int64_t version = Sync(WorkerState())->wish_version();
  grpc::ClientContext context;
  v1::SyncResponse response;
  auto poll = std::async(std::launch::async, [&] {
    return worker_->Sync(&context, WorkerState(version), &response);
  });
  context.TryCancel();
  EXPECT_EQ(poll.get().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(WorkerServiceTest, WorkersAreListedWithTheirJobs) {
  const v1::Lease lease = Leased();
  grpc::ClientContext context;
  v1::ListWorkersResponse response;
  ASSERT_TRUE(
      compression_->ListWorkers(&context, v1::ListWorkersRequest(), &response)
          .ok());
  ASSERT_EQ(response.workers_size(), 1);
  EXPECT_EQ(response.workers(0).state(), v1::Worker::BUSY);
  EXPECT_EQ(response.workers(0).jobs(0), lease.job());
}

}  // namespace
}  // namespace condense
