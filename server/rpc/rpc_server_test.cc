#include "server/rpc/rpc_server.h"

#include <functional>
#include <future>
#include <thread>

#include "condense/v1/device_profile_service.grpc.pb.h"
#include "server/rpc/rpc_test_base.h"

namespace condense {
namespace {

// Follows a job and keeps what comes.
class Watcher {
 public:
  Watcher(v1::CompressionService::Stub& stub, const std::string& job,
          int64_t from) {
    v1::WatchJobRequest request;
    request.set_name(job);
    request.set_from_sequence(from);
    reader_ = stub.WatchJob(&context_, request);
  }

  // The next event's sequence number, or 0 at the end of the stream.
  int64_t Next() { return reader_->Read(&event_) ? event_.sequence() : 0; }
  const v1::JobEvent& event() const { return event_; }
  absl::Status Finish() { return FromGrpc(reader_->Finish()); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::JobEvent>> reader_;
  v1::JobEvent event_;
};

class RpcServerTest : public RpcTest {
 protected:
  // Creates a job and leases it to w1.
  v1::Lease Leased() {
    EXPECT_TRUE(Create(NewJob()).ok());
    return Sync(WorkerState())->assignments(0).lease();
  }
};

TEST_F(RpcServerTest, AnIdleWorkerIsGivenAJobWithoutATimer) {
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

TEST_F(RpcServerTest, AJobRunsToItsArtifactsAndTheWatcherSeesAll) {
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

TEST_F(RpcServerTest, AWatcherThatReadsLateMissesNothing) {
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

TEST_F(RpcServerTest, WatchingAnUnknownJobIsNotFound) {
  Watcher watcher(*compression_, "projects/p/jobs/j-00000", 0);
  EXPECT_EQ(watcher.Next(), 0);
  EXPECT_EQ(ErrorReason(watcher.Finish()), "JOB_NOT_FOUND");
}

TEST_F(RpcServerTest, ARestartLeavesNoGapAndTheWorkerGoesOn) {
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

TEST_F(RpcServerTest, ASilentWorkersJobGoesToAnother) {
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

TEST_F(RpcServerTest, APollIsAnsweredAfterAThirdOfTheLease) {
  const int64_t version = Sync(WorkerState())->wish_version();
  auto poll = std::async(std::launch::async,
                         [&] { return Sync(WorkerState(version)); });
  while (poll.wait_for(std::chrono::milliseconds(1)) !=
         std::future_status::ready) {
    clock_.Advance(absl::Seconds(1));
  }
  EXPECT_EQ(poll.get()->wish_version(), version);
}

TEST_F(RpcServerTest, StoppingEndsPollsWithUnavailable) {
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

TEST_F(RpcServerTest, AnAgentThatHangsUpIsGivenNothing) {
  const int64_t version = Sync(WorkerState())->wish_version();
  grpc::ClientContext context;
  v1::SyncResponse response;
  auto poll = std::async(std::launch::async, [&] {
    return worker_->Sync(&context, WorkerState(version), &response);
  });
  context.TryCancel();
  EXPECT_EQ(poll.get().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(RpcServerTest, WorkersAreListedWithTheirJobs) {
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

TEST_F(RpcServerTest, ProfilesAreListedAndMissesNameTheNearest) {
  auto stub = v1::DeviceProfileService::NewStub(channel_);
  grpc::ClientContext list;
  v1::ListDeviceProfilesResponse profiles;
  ASSERT_TRUE(stub->ListDeviceProfiles(&list, v1::ListDeviceProfilesRequest(),
                                       &profiles)
                  .ok());
  EXPECT_EQ(profiles.profiles(0).id(), kProfile);
  grpc::ClientContext get;
  v1::GetDeviceProfileRequest request;
  request.set_id("onnxruntime-cpu-x86-vnn");
  v1::DeviceProfile profile;
  const absl::Status status =
      FromGrpc(stub->GetDeviceProfile(&get, request, &profile));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorDetailOf(status).nearest, kProfile);
}

TEST_F(RpcServerTest, APortInUseIsAnErrorThatNamesIt) {
  const std::string address = absl::StrCat("127.0.0.1:", server_->port());
  const absl::Status status = RpcServer::Start({.dispatcher = dispatcher_.get(),
                                                .jobs = jobs_.get(),
                                                .blobs = blobs_.get(),
                                                .hub = hub_.get(),
                                                .metrics = &metrics_},
                                               JobRules(), address)
                                  .status();
  EXPECT_EQ(ErrorReason(status), "CANNOT_LISTEN");
  EXPECT_NE(status.message().find(address), absl::string_view::npos);
}

}  // namespace
}  // namespace condense
