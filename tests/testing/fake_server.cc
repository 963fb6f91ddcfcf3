#include "tests/testing/fake_server.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/grpc_status.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace condense {
namespace {

grpc::Status Away() {
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server goes down");
}

grpc::Status NotFound(const std::string& what) {
  return ToGrpc(MakeError(absl::StatusCode::kNotFound, "NOT_FOUND",
                          absl::StrCat("there is no ", what)));
}

class FakeJobs : public v1::CompressionService::Service {
 public:
  explicit FakeJobs(FakeServerState* state) : state_(state) {}

  grpc::Status CreateJob(grpc::ServerContext*,
                         const v1::CreateJobRequest* request,
                         v1::Job* job) override {
    absl::MutexLock lock(&state_->mu);
    if (state_->create_unavailable > 0) {
      --state_->create_unavailable;
      return Away();
    }
    state_->creates.push_back(*request);
    if (!state_->create_status.ok()) return ToGrpc(state_->create_status);
    *job = state_->job;
    job->set_state(v1::Job::QUEUED);
    return grpc::Status::OK;
  }

  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::Job* job) override {
    absl::MutexLock lock(&state_->mu);
    if (request->name() != state_->job.name()) return NotFound(request->name());
    *job = state_->job;
    return grpc::Status::OK;
  }

  grpc::Status CancelJob(grpc::ServerContext*,
                         const v1::CancelJobRequest* request,
                         v1::Job* job) override {
    absl::MutexLock lock(&state_->mu);
    if (request->name() != state_->job.name()) return NotFound(request->name());
    state_->job.set_state(v1::Job::CANCELLED);
    *job = state_->job;
    return grpc::Status::OK;
  }

  grpc::Status ListJobs(grpc::ServerContext*,
                        const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    absl::MutexLock lock(&state_->mu);
    int first = 0;
    (void)absl::SimpleAtoi(request->page_token(), &first);
    const int end = std::min<int>(first + request->page_size(),
                                  static_cast<int>(state_->jobs.size()));
    for (int i = first; i < end; ++i) *response->add_jobs() = state_->jobs[i];
    if (end < static_cast<int>(state_->jobs.size())) {
      response->set_next_page_token(absl::StrCat(end));
    }
    return grpc::Status::OK;
  }

  grpc::Status ListArtifacts(grpc::ServerContext*,
                             const v1::ListArtifactsRequest* request,
                             v1::ListArtifactsResponse* response) override {
    absl::MutexLock lock(&state_->mu);
    if (request->parent() != state_->job.name()) {
      return NotFound(request->parent());
    }
    *response->mutable_artifacts() = state_->job.artifacts();
    return grpc::Status::OK;
  }

  grpc::Status ListWorkers(grpc::ServerContext*, const v1::ListWorkersRequest*,
                           v1::ListWorkersResponse* response) override {
    absl::MutexLock lock(&state_->mu);
    for (const v1::Worker& worker : state_->workers) {
      *response->add_workers() = worker;
    }
    return grpc::Status::OK;
  }

  grpc::Status WatchJob(grpc::ServerContext*,
                        const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override {
    std::vector<v1::JobEvent> events;
    int cut = -1;
    {
      absl::MutexLock lock(&state_->mu);
      if (request->name() != state_->job.name()) {
        return NotFound(request->name());
      }
      state_->watched_from.push_back(request->from_sequence());
      const int64_t first = std::max<int64_t>(
          request->from_sequence() - state_->watch_overlap, 1);
      for (const v1::JobEvent& event : state_->events) {
        if (event.sequence() >= first) events.push_back(event);
      }
      if (!state_->watch_cuts.empty()) {
        cut = state_->watch_cuts.front();
        state_->watch_cuts.pop_front();
      }
    }
    for (const v1::JobEvent& event : events) {
      if (cut-- == 0) return Away();
      if (!writer->Write(event)) break;
    }
    return cut >= 0 ? Away() : grpc::Status::OK;
  }

 private:
  FakeServerState* state_;
};

class FakeBlobs : public v1::BlobService::Service {
 public:
  explicit FakeBlobs(FakeServerState* state) : state_(state) {}

  grpc::Status FindMissing(grpc::ServerContext*,
                           const v1::FindMissingRequest* request,
                           v1::FindMissingResponse* response) override {
    absl::MutexLock lock(&state_->mu);
    for (const std::string& digest : request->digests()) {
      if (state_->blobs.count(digest) == 0) response->add_digests(digest);
    }
    return grpc::Status::OK;
  }

  grpc::Status QueryWrite(grpc::ServerContext*,
                          const v1::QueryWriteRequest* request,
                          v1::QueryWriteResponse* response) override {
    absl::MutexLock lock(&state_->mu);
    response->set_complete(state_->blobs.count(request->digest()) > 0);
    response->set_committed_bytes(
        static_cast<int64_t>(state_->parts[request->digest()].size()));
    return grpc::Status::OK;
  }

  grpc::Status Write(grpc::ServerContext*,
                     grpc::ServerReader<v1::WriteRequest>* reader,
                     v1::WriteResponse* response) override {
    v1::WriteRequest request;
    std::string digest;
    int64_t size = 0;
    while (reader->Read(&request)) {
      absl::MutexLock lock(&state_->mu);
      if (digest.empty()) {
        ++state_->writes;
        digest = request.digest();
        size = request.size_bytes();
        if (request.offset() !=
            static_cast<int64_t>(state_->parts[digest].size())) {
          return ToGrpc(MakeError(absl::StatusCode::kAborted, "WRONG_OFFSET",
                                  "ask QueryWrite"));
        }
      }
      std::string& part = state_->parts[digest];
      std::string data = request.data();
      const bool cut =
          state_->write_cut >= 0 &&
          static_cast<int64_t>(part.size() + data.size()) > state_->write_cut;
      if (cut) data.resize(state_->write_cut - part.size());
      part += data;
      state_->bytes_written += static_cast<int64_t>(data.size());
      if (cut) {
        state_->write_cut = -1;
        return Away();
      }
    }
    absl::MutexLock lock(&state_->mu);
    const std::string part = state_->parts[digest];
    if (static_cast<int64_t>(part.size()) < size) return Away();
    state_->parts.erase(digest);
    if (DigestOf(part) != digest) {
      return ToGrpc(MakeError(absl::StatusCode::kInvalidArgument,
                              "DIGEST_MISMATCH", "other bytes"));
    }
    state_->blobs[digest] = part;
    response->set_complete(true);
    response->set_committed_bytes(size);
    return grpc::Status::OK;
  }

  grpc::Status Read(grpc::ServerContext*, const v1::ReadRequest* request,
                    grpc::ServerWriter<v1::ReadResponse>* writer) override {
    absl::MutexLock lock(&state_->mu);
    state_->read_offsets.push_back(request->offset());
    auto it = state_->blobs.find(request->digest());
    if (it == state_->blobs.end()) return NotFound(request->digest());
    if (request->offset() > static_cast<int64_t>(it->second.size())) {
      return ToGrpc(
          MakeError(absl::StatusCode::kOutOfRange, "OUT_OF_RANGE", "too far"));
    }
    std::string rest = it->second.substr(request->offset());
    const bool cut = state_->read_cut >= 0 &&
                     static_cast<int64_t>(rest.size()) > state_->read_cut;
    if (cut) rest.resize(state_->read_cut);
    v1::ReadResponse response;
    for (size_t at = 0; at < rest.size(); at += 1000) {
      response.set_data(rest.substr(at, 1000));
      writer->Write(response);
    }
    if (!cut) return grpc::Status::OK;
    state_->read_cut = -1;
    return Away();
  }

 private:
  FakeServerState* state_;
};

class FakeProfiles : public v1::DeviceProfileService::Service {
 public:
  explicit FakeProfiles(FakeServerState* state) : state_(state) {}

  grpc::Status ListDeviceProfiles(
      grpc::ServerContext*, const v1::ListDeviceProfilesRequest*,
      v1::ListDeviceProfilesResponse* response) override {
    absl::MutexLock lock(&state_->mu);
    for (const v1::DeviceProfile& profile : state_->profiles) {
      *response->add_profiles() = profile;
    }
    return grpc::Status::OK;
  }

  grpc::Status GetDeviceProfile(grpc::ServerContext*,
                                const v1::GetDeviceProfileRequest* request,
                                v1::DeviceProfile* response) override {
    absl::MutexLock lock(&state_->mu);
    for (const v1::DeviceProfile& profile : state_->profiles) {
      if (profile.id() != request->id()) continue;
      *response = profile;
      return grpc::Status::OK;
    }
    return NotFound(request->id());
  }

 private:
  FakeServerState* state_;
};

}  // namespace

FakeServer::FakeServer()
    : jobs_(std::make_unique<FakeJobs>(&state_)),
      blobs_(std::make_unique<FakeBlobs>(&state_)),
      profiles_(std::make_unique<FakeProfiles>(&state_)) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(jobs_.get());
  builder.RegisterService(blobs_.get());
  builder.RegisterService(profiles_.get());
  server_ = builder.BuildAndStart();
  address_ = absl::StrCat("127.0.0.1:", port);
  state_.job.set_name("projects/default/jobs/j-1");
  state_.job.set_uid("5f1c1a52-1d3c-4f3a-9f43-0d1f6e0f5a11");
}

FakeServer::~FakeServer() {
  server_->Shutdown(absl::ToChronoTime(absl::Now()));
}

std::string FakeServer::AddBlob(const std::string& content) {
  absl::MutexLock lock(&state_.mu);
  const std::string digest = DigestOf(content);
  state_.blobs[digest] = content;
  return digest;
}

std::vector<v1::JobEvent> SmallJobEvents() {
  std::vector<v1::JobEvent> events;
  auto add = [&](const char* type) {
    v1::JobEvent& event = events.emplace_back();
    event.set_sequence(static_cast<int64_t>(events.size()));
    event.mutable_time()->set_seconds(static_cast<int64_t>(events.size()));
    event.set_type(type);
    event.set_attempt(1);
    return &event;
  };
  add("state")->set_state(v1::Job::QUEUED);
  add("state")->set_state(v1::Job::RUNNING);
  add("phase")->set_phase(v1::Job::FINETUNING);
  for (int step = 0; step < 3; ++step) {
    v1::Metric* metric = add("metric")->mutable_metric();
    metric->set_name("loss");
    metric->set_step(step);
    metric->set_value(1.0 / (1 + step));
  }
  v1::JobEvent* warning = add("warning");
  warning->mutable_warning()->set_reason("SLOWER");
  warning->mutable_warning()->set_message("no speed-up on this profile");
  v1::JobEvent* artifact = add("artifact");
  artifact->mutable_artifact()->set_profile("onnxruntime-cpu-x86-vnni");
  artifact->mutable_artifact()->set_verdict(v1::Artifact::PASSED);
  add("state")->set_state(v1::Job::SUCCEEDED);
  return events;
}

}  // namespace condense
