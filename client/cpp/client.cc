#include "client/cpp/client.h"

#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/grpc_status.h"
#include "common/retry.h"
#include "common/status_macros.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/channel_arguments.h"

namespace condense::client {
namespace {

std::shared_ptr<grpc::Channel> NewChannel(const Client::Options& options) {
  grpc::ChannelArguments arguments;
  // A server that restarts is found again at once, not after two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Two clients to one address must not share a broken connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(
      options.server, grpc::InsecureChannelCredentials(), arguments);
}

absl::Status Unreachable(const std::string& server, absl::string_view why) {
  return MakeError(
      absl::StatusCode::kUnavailable, "SERVER_UNREACHABLE",
      absl::StrCat("no answer from the server at ", server,
                   why.empty() ? "" : ": ", std::string(why)),
      {.hint = "start condense-server, or name another one by --server or "
               "CONDENSE_SERVER"});
}

// One unary call with a deadline.
template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(const Client::Options& options, Stub* stub,
                              const Request& request,
                              grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                           const Request&,
                                                           Response*)) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + options.call_timeout));
  Response response;
  CONDENSE_RETURN_IF_ERROR(StatusOfCall(
      (stub->*method)(&context, request, &response), options.server));
  return response;
}

}  // namespace

absl::Status StatusOfCall(const grpc::Status& status,
                          const std::string& server) {
  absl::Status ours = FromGrpc(status);
  const std::string reason = ErrorReason(ours);
  // A stream that a stopping server cuts may also come back as CANCELLED,
  // without a reason of the server's own; this client cancels none.
  const bool cut = ours.code() == absl::StatusCode::kCancelled &&
                   (reason.empty() || reason == "CANCELLED");
  if (ours.code() != absl::StatusCode::kUnavailable && !cut) return ours;
  if (!cut && !reason.empty() && reason != "UNAVAILABLE") return ours;
  return Unreachable(server, ours.message());
}

bool IsFinal(v1::Job::State state) {
  return state == v1::Job::SUCCEEDED || state == v1::Job::FAILED ||
         state == v1::Job::CANCELLED;
}

std::string NewRequestId() {
  std::random_device random;
  auto word = [&] { return static_cast<uint32_t>(random()); };
  const uint32_t a = word(), b = word(), c = word(), d = word();
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%04x%08x", a, b >> 16, b & 0xfff,
                         (c >> 16 & 0x3fff) | 0x8000, c & 0xffff, d);
}

Client::Client(Options options)
    : options_(std::move(options)),
      channel_(NewChannel(options_)),
      jobs_(v1::CompressionService::NewStub(channel_)),
      blobs_(v1::BlobService::NewStub(channel_)),
      profiles_(v1::DeviceProfileService::NewStub(channel_)) {}

absl::Status Client::CheckReachable() {
  const auto deadline =
      absl::ToChronoTime(absl::Now() + options_.connect_timeout);
  grpc_connectivity_state state = channel_->GetState(true);
  while (state != GRPC_CHANNEL_READY) {
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE ||
        state == GRPC_CHANNEL_SHUTDOWN) {
      return Unreachable(options_.server, "the connection was refused");
    }
    if (!channel_->WaitForStateChange(state, deadline)) {
      return Unreachable(options_.server, "the connection did not come up");
    }
    state = channel_->GetState(true);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Client::JobName(absl::string_view job) const {
  const std::vector<std::string> parts = absl::StrSplit(job, '/');
  const bool full = parts.size() == 4 && parts[0] == "projects" &&
                    parts[2] == "jobs" && !parts[1].empty() &&
                    !parts[3].empty();
  if (full) return std::string(job);
  if (parts.size() == 1 && !job.empty()) {
    return absl::StrCat("projects/", options_.project, "/jobs/",
                        std::string(job));
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_JOB_NAME",
                   absl::StrCat("'", std::string(job), "' is no job name"),
                   {.hint = "write j-8f3k2 or projects/default/jobs/j-8f3k2"});
}

std::string Client::ShortName(absl::string_view job_name) {
  const auto slash = job_name.rfind('/');
  return std::string(
      slash == absl::string_view::npos ? job_name : job_name.substr(slash + 1));
}

absl::StatusOr<v1::Job> Client::CreateJob(const v1::JobSpec& spec,
                                          const std::string& request_id,
                                          bool validate_only) {
  v1::CreateJobRequest request;
  request.set_parent(absl::StrCat("projects/", options_.project));
  *request.mutable_job()->mutable_spec() = spec;
  request.set_request_id(request_id);
  request.set_validate_only(validate_only);
  RetryTimer timer(options_.clock, options_.call_retry);
  for (;;) {
    auto job = Call(options_, jobs_.get(), request,
                    &v1::CompressionService::Stub::CreateJob);
    if (job.ok() || !IsTransient(job.status()) || !timer.Wait()) return job;
  }
}

absl::StatusOr<v1::Job> Client::GetJob(absl::string_view job) {
  v1::GetJobRequest request;
  CONDENSE_ASSIGN_OR_RETURN(*request.mutable_name(), JobName(job));
  return Call(options_, jobs_.get(), request,
              &v1::CompressionService::Stub::GetJob);
}

absl::StatusOr<v1::Job> Client::CancelJob(absl::string_view job) {
  v1::CancelJobRequest request;
  CONDENSE_ASSIGN_OR_RETURN(*request.mutable_name(), JobName(job));
  return Call(options_, jobs_.get(), request,
              &v1::CompressionService::Stub::CancelJob);
}

absl::StatusOr<v1::ListJobsResponse> Client::ListJobs(
    int page_size, const std::string& page_token) {
  v1::ListJobsRequest request;
  request.set_parent(absl::StrCat("projects/", options_.project));
  request.set_page_size(page_size);
  request.set_page_token(page_token);
  return Call(options_, jobs_.get(), request,
              &v1::CompressionService::Stub::ListJobs);
}

absl::StatusOr<std::vector<v1::Artifact>> Client::ListArtifacts(
    absl::string_view job) {
  v1::ListArtifactsRequest request;
  CONDENSE_ASSIGN_OR_RETURN(*request.mutable_parent(), JobName(job));
  CONDENSE_ASSIGN_OR_RETURN(const v1::ListArtifactsResponse response,
                            Call(options_, jobs_.get(), request,
                                 &v1::CompressionService::Stub::ListArtifacts));
  return std::vector<v1::Artifact>(response.artifacts().begin(),
                                   response.artifacts().end());
}

absl::StatusOr<std::vector<v1::Worker>> Client::ListWorkers() {
  CONDENSE_ASSIGN_OR_RETURN(
      const v1::ListWorkersResponse response,
      Call(options_, jobs_.get(), v1::ListWorkersRequest(),
           &v1::CompressionService::Stub::ListWorkers));
  return std::vector<v1::Worker>(response.workers().begin(),
                                 response.workers().end());
}

absl::StatusOr<std::vector<v1::DeviceProfile>> Client::ListProfiles() {
  CONDENSE_ASSIGN_OR_RETURN(
      const v1::ListDeviceProfilesResponse response,
      Call(options_, profiles_.get(), v1::ListDeviceProfilesRequest(),
           &v1::DeviceProfileService::Stub::ListDeviceProfiles));
  return std::vector<v1::DeviceProfile>(response.profiles().begin(),
                                        response.profiles().end());
}

absl::StatusOr<v1::DeviceProfile> Client::GetProfile(const std::string& id) {
  v1::GetDeviceProfileRequest request;
  request.set_id(id);
  return Call(options_, profiles_.get(), request,
              &v1::DeviceProfileService::Stub::GetDeviceProfile);
}

absl::StatusOr<std::string> Client::Health() {
  auto stub = grpc::health::v1::Health::NewStub(channel_);
  CONDENSE_ASSIGN_OR_RETURN(
      const grpc::health::v1::HealthCheckResponse response,
      Call(options_, stub.get(), grpc::health::v1::HealthCheckRequest(),
           &grpc::health::v1::Health::Stub::Check));
  return grpc::health::v1::HealthCheckResponse::ServingStatus_Name(
      response.status());
}

absl::Status Client::WatchOnce(const std::string& name, int64_t* next,
                               const WatchCallbacks& callbacks, bool* done) {
  v1::WatchJobRequest request;
  request.set_name(name);
  request.set_from_sequence(*next);
  grpc::ClientContext context;
  auto stream = jobs_->WatchJob(&context, request);
  v1::JobEvent event;
  while (stream->Read(&event)) {
    // A server may repeat what it sent before the connection broke.
    if (event.sequence() < *next) continue;
    if (event.sequence() > *next) {
      context.TryCancel();
      stream->Finish();
      return absl::UnavailableError(
          absl::StrCat("event ", *next, " is missing from the stream"));
    }
    ++*next;
    *done = event.type() == "state" && IsFinal(event.state());
    if (!callbacks.on_event(event)) *done = true;
    if (*done) {
      context.TryCancel();
      stream->Finish();
      return absl::OkStatus();
    }
  }
  return StatusOfCall(stream->Finish(), options_.server);
}

absl::Status Client::Watch(absl::string_view job, int64_t from_sequence,
                           const WatchCallbacks& callbacks) {
  CONDENSE_ASSIGN_OR_RETURN(const std::string name, JobName(job));
  int64_t next = std::max<int64_t>(from_sequence, 1);
  RetryTimer timer(options_.clock, options_.watch_retry);
  for (;;) {
    const int64_t before = next;
    bool done = false;
    absl::Status status = WatchOnce(name, &next, callbacks, &done);
    if (done) return absl::OkStatus();
    if (next != before) timer.Reset();
    if (status.ok()) {
      // The server ended the stream in order: the job is in its final state
      // and that event was before `from_sequence`, or the server goes down.
      auto now = GetJob(name);
      if (now.ok() && IsFinal(now->state()) && now->last_sequence() < next) {
        return absl::OkStatus();
      }
      status = absl::UnavailableError("the stream ended early");
    }
    if (!IsTransient(status)) return status;
    if (callbacks.on_retry) callbacks.on_retry(status);
    if (!timer.Wait()) return status;
  }
}

}  // namespace condense::client
