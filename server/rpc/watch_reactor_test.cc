#include "server/rpc/watch_reactor.h"

#include "server/rpc/rpc_test_base.h"

namespace condense {
namespace {

using WatchReactorTest = RpcTest;

TEST_F(WatchReactorTest, AJobRunsToItsArtifactsAndTheWatcherSeesAll) {
  const v1::Lease lease = Leased();
  Watcher watcher(*compression_, lease.job(), 0);
  EXPECT_EQ(watcher.Next(), 1);  // QUEUED
  EXPECT_EQ(watcher.Next(), 2);  // RUNNING
  ASSERT_TRUE(Report(lease, 0, 3).ok());
  for (int64_t want = 3; want <= 5; ++want) EXPECT_EQ(watcher.Next(), want);
  ASSERT_TRUE(Complete(lease, v1::Attempt::SUCCEEDED).ok());
  ASSERT_TRUE(Complete(lease, v1::Attempt::SUCCEEDED).ok());  // Repeated.
  EXPECT_EQ(watcher.Next(), 6);
  EXPECT_EQ(watcher.event().state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(watcher.Next(), 0);
  EXPECT_TRUE(watcher.Finish().ok());
  EXPECT_EQ(Get(lease.job())->artifacts(0).verdict(), v1::Artifact::PASSED);
  Watcher late(*compression_, lease.job(), 5);
  EXPECT_EQ(late.Next(), 5);
  EXPECT_EQ(late.Next(), 6);
  EXPECT_EQ(late.Next(), 0);
  EXPECT_TRUE(late.Finish().ok());
  Watcher past(*compression_, lease.job(), 100);
  EXPECT_EQ(past.Next(), 0);
  EXPECT_TRUE(past.Finish().ok());
}

TEST_F(WatchReactorTest, AWatcherThatReadsLateMissesNothing) {
  const v1::Lease lease = Leased();
  Watcher watcher(*compression_, lease.job(), 1);
  ASSERT_EQ(watcher.Next(), 1);
  constexpr int kEvents = 3000;  // More than the hub's window.
  for (int i = 0; i < kEvents; i += 100) {
    ASSERT_TRUE(Report(lease, i, 100).ok());
  }
  for (int64_t want = 2; want <= kEvents + 2; ++want) {
    ASSERT_EQ(watcher.Next(), want);
  }
  ASSERT_TRUE(Cancel(lease.job()).ok());
  EXPECT_EQ(watcher.Next(), kEvents + 3);
}

TEST_F(WatchReactorTest, WatchingAnUnknownJobIsNotFound) {
  Watcher watcher(*compression_, "projects/p/jobs/j-00000", 0);
  EXPECT_EQ(watcher.Next(), 0);
  EXPECT_EQ(ErrorReason(watcher.Finish()), "JOB_NOT_FOUND");
}

TEST_F(WatchReactorTest, ARestartLeavesNoGapAndTheWorkerGoesOn) {
  const v1::Lease lease = Leased();
  ASSERT_TRUE(Report(lease, 0, 2).ok());
  auto watcher = std::make_unique<Watcher>(*compression_, lease.job(), 1);
  for (int64_t want = 1; want <= 4; ++want) ASSERT_EQ(watcher->Next(), want);
  StopServer();
  EXPECT_EQ(watcher->Next(), 0);
  EXPECT_EQ(watcher->Finish().code(), absl::StatusCode::kUnavailable);
  watcher.reset();
  clock_.Advance(absl::Hours(1));
  StartServer();
  Watcher again(*compression_, lease.job(), 5);
  ASSERT_TRUE(Report(lease, 1, 2).ok());  // The first of them is known.
  EXPECT_EQ(again.Next(), 5);
  EXPECT_EQ(again.event().progress().step(), 2);
  ASSERT_TRUE(Complete(lease, v1::Attempt::SUCCEEDED).ok());
  EXPECT_EQ(again.Next(), 6);
  EXPECT_EQ(again.Next(), 0);
  EXPECT_TRUE(again.Finish().ok());
}

}  // namespace
}  // namespace condense
