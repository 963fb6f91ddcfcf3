#ifndef CONDENSE_SERVER_RPC_RPC_TEST_BASE_H_
#define CONDENSE_SERVER_RPC_RPC_TEST_BASE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/grpc_status.h"
#include "condense/v1/blob_service.grpc.pb.h"
#include "condense/v1/compression_service.grpc.pb.h"
#include "condense/v1/worker_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "server/core/dispatcher.h"
#include "server/rpc/rpc_server.h"
#include "server/store/directory_blob_store.h"
#include "server/store/sqlite_job_store.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"

namespace condense {

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

// A real server in this process with a store in a folder, and its stubs. Time
// stands still unless a test moves it.
class RpcTest : public ::testing::Test {
 protected:
  static constexpr char kParent[] = "projects/p";
  static constexpr char kProfile[] = "onnxruntime-cpu-x86-vnni";

  RpcTest() { StartServer(); }
  ~RpcTest() override { StopServer(); }

  void StartServer() {
    jobs_ = OpenSqliteJobStore(dir_.path()).value();
    blobs_ = OpenDirectoryBlobStore(dir_.path() + "/blobs").value();
    hub_ = std::make_unique<WatchHub>();
    dispatcher_ = std::make_unique<Dispatcher>(
        Dispatcher::Parts{.clock = &clock_,
                          .jobs = jobs_.get(),
                          .blobs = blobs_.get(),
                          .hub = hub_.get(),
                          .metrics = &metrics_},
        JobTable::Options{.lease = absl::Seconds(30)});
    ASSERT_TRUE(dispatcher_->Start().ok());
    JobRules rules;
    rules.profiles.emplace_back().set_id(kProfile);
    rules.resolve_recipe =
        [](const v1::JobSpec& spec) -> absl::StatusOr<std::string> {
      if (!absl::StartsWith(spec.recipe(), "bad")) return "resolved";
      return MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY",
                       "no such key", {.field = "prun", .line = 2});
    };
    auto server = RpcServer::Start({.dispatcher = dispatcher_.get(),
                                    .jobs = jobs_.get(),
                                    .blobs = blobs_.get(),
                                    .hub = hub_.get(),
                                    .metrics = &metrics_},
                                   rules, "127.0.0.1:0");
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto channel =
        grpc::CreateChannel(absl::StrCat("127.0.0.1:", server_->port()),
                            grpc::InsecureChannelCredentials());
    compression_ = v1::CompressionService::NewStub(channel);
    blob_ = v1::BlobService::NewStub(channel);
    worker_ = v1::WorkerService::NewStub(channel);
    channel_ = channel;
  }

  void StopServer() {
    if (server_ != nullptr) server_->Stop(absl::Seconds(10));
    server_.reset();
    dispatcher_.reset();
    hub_.reset();
    blobs_.reset();
    jobs_.reset();
  }

  std::string Put(const std::string& bytes) {
    const std::string digest = DigestOf(bytes);
    auto writer = blobs_->Write(digest, static_cast<int64_t>(bytes.size()));
    EXPECT_TRUE((*writer)->Append(0, bytes)->complete);
    return digest;
  }

  v1::CreateJobRequest NewJob() {
    v1::CreateJobRequest request;
    request.set_parent(kParent);
    v1::JobSpec* spec = request.mutable_job()->mutable_spec();
    spec->mutable_model()->set_digest(Put("model"));
    spec->set_recipe("stages: []");
    spec->add_profiles(kProfile);
    return request;
  }

  absl::StatusOr<v1::Job> Create(const v1::CreateJobRequest& request) {
    grpc::ClientContext context;
    v1::Job job;
    const grpc::Status status =
        compression_->CreateJob(&context, request, &job);
    if (!status.ok()) return FromGrpc(status);
    return job;
  }

  absl::StatusOr<v1::Job> Get(const std::string& name) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_name(name);
    v1::Job job;
    const grpc::Status status = compression_->GetJob(&context, request, &job);
    if (!status.ok()) return FromGrpc(status);
    return job;
  }

  absl::StatusOr<v1::Job> Cancel(const std::string& name) {
    grpc::ClientContext context;
    v1::CancelJobRequest request;
    request.set_name(name);
    v1::Job job;
    const grpc::Status status =
        compression_->CancelJob(&context, request, &job);
    if (!status.ok()) return FromGrpc(status);
    return job;
  }

  static v1::SyncRequest WorkerState(int64_t known_version = 0) {
    v1::SyncRequest request;
    request.mutable_worker()->set_name("w1");
    request.mutable_worker()->set_slots(1);
    request.mutable_worker()->add_devices()->set_kind(
        v1::DeviceRequirement::CPU);
    request.set_known_version(known_version);
    return request;
  }

  absl::StatusOr<v1::SyncResponse> Sync(const v1::SyncRequest& request) {
    grpc::ClientContext context;
    v1::SyncResponse response;
    const grpc::Status status = worker_->Sync(&context, request, &response);
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  // Creates a job and leases it to w1.
  v1::Lease Leased() {
    EXPECT_TRUE(Create(NewJob()).ok());
    return Sync(WorkerState())->assignments(0).lease();
  }

  // Reports `count` progress events of the job's first lease.
  absl::Status Report(const v1::Lease& lease, int64_t first, int count) {
    v1::ReportEventsRequest request;
    *request.mutable_lease() = lease;
    request.set_first_index(first);
    for (int i = 0; i < count; ++i) {
      v1::JobEvent* event = request.add_events();
      event->set_type("progress");
      event->set_phase(v1::Job::QAT);
      event->mutable_progress()->set_step(first + i);
    }
    grpc::ClientContext context;
    v1::ReportEventsResponse response;
    return FromGrpc(worker_->ReportEvents(&context, request, &response));
  }

  absl::Status Complete(const v1::Lease& lease, v1::Attempt::Outcome outcome) {
    v1::CompleteLeaseRequest request;
    *request.mutable_lease() = lease;
    request.set_outcome(outcome);
    if (outcome == v1::Attempt::SUCCEEDED) {
      v1::Artifact* artifact = request.add_artifacts();
      artifact->set_profile(kProfile);
      artifact->set_verdict(v1::Artifact::PASSED);
      artifact->add_files()->set_digest(Put("compressed"));
    }
    grpc::ClientContext context;
    v1::CompleteLeaseResponse response;
    return FromGrpc(worker_->CompleteLease(&context, request, &response));
  }

  TempDir dir_;
  FakeClock clock_;
  ServerMetrics metrics_;
  std::unique_ptr<JobStore> jobs_;
  std::unique_ptr<BlobStore> blobs_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<Dispatcher> dispatcher_;
  std::unique_ptr<RpcServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::CompressionService::Stub> compression_;
  std::unique_ptr<v1::BlobService::Stub> blob_;
  std::unique_ptr<v1::WorkerService::Stub> worker_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_RPC_TEST_BASE_H_
