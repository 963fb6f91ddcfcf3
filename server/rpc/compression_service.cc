#include "server/rpc/compression_service.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "server/core/errors.h"
#include "server/core/resource_names.h"
#include "server/rpc/watch_reactor.h"

namespace condense {
namespace {

constexpr int kDefaultPage = 50;
constexpr int kLargestPage = 1000;
constexpr size_t kLongestRequestId = 100;

grpc::ServerUnaryReactor* FinishNow(grpc::CallbackServerContext* context,
                                    const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

// Puts a job into the response and ends the call.
std::function<void(absl::StatusOr<v1::Job>)> AnswerWith(
    grpc::ServerUnaryReactor* reactor, v1::Job* response) {
  return [reactor, response](absl::StatusOr<v1::Job> job) {
    if (job.ok()) *response = *std::move(job);
    reactor->Finish(ToGrpc(job.status()));
  };
}

}  // namespace

grpc::ServerUnaryReactor* CompressionServiceImpl::CreateJob(
    grpc::CallbackServerContext* context, const v1::CreateJobRequest* request,
    v1::Job* response) {
  absl::StatusOr<std::string> project = ProjectOfParent(request->parent());
  if (!project.ok()) return FinishNow(context, project.status());
  if (request->request_id().size() > kLongestRequestId) {
    return FinishNow(context,
                     BadName("request_id", request->request_id(), "of a UUID"));
  }
  JobRecord record;
  *record.job.mutable_spec() = request->job().spec();
  record.job.set_request_id(request->request_id());
  record.request_fingerprint = RequestFingerprint(request->job().spec());
  absl::StatusOr<std::string> resolved =
      ValidateJob(rules_, *parts_.blobs, *record.job.mutable_spec());
  if (!resolved.ok()) return FinishNow(context, resolved.status());
  record.job.set_resolved_recipe(*std::move(resolved));
  if (request->validate_only()) {
    *response = std::move(record.job);
    return FinishNow(context, absl::OkStatus());
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  parts_.dispatcher->CreateJob(*std::move(project), std::move(record),
                               AnswerWith(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* CompressionServiceImpl::GetJob(
    grpc::CallbackServerContext* context, const v1::GetJobRequest* request,
    v1::Job* response) {
  if (absl::Status status = CheckJobName(request->name(), "name");
      !status.ok()) {
    return FinishNow(context, status);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  parts_.pool->Post([this, reactor, request, response] {
    absl::StatusOr<JobRecord> record = parts_.jobs->Get(request->name());
    if (record.ok()) {
      *response = std::move(record->job);
      parts_.dispatcher->Annotate(*response);
    }
    reactor->Finish(ToGrpc(record.status()));
  });
  return reactor;
}

absl::Status CompressionServiceImpl::List(const v1::ListJobsRequest& request,
                                          v1::ListJobsResponse& response) {
  CONDENSE_ASSIGN_OR_RETURN(const std::string project,
                            ProjectOfParent(request.parent()));
  if (request.page_size() < 0) {
    return FieldOutOfRange("page_size", request.page_size(), 0, kLargestPage);
  }
  const int limit = request.page_size() == 0
                        ? kDefaultPage
                        : std::min(request.page_size(), kLargestPage);
  int64_t before = std::numeric_limits<int64_t>::max();
  if (!request.page_token().empty()) {
    CONDENSE_ASSIGN_OR_RETURN(
        before, PositionOfPageToken(project, request.page_token()));
  }
  CONDENSE_ASSIGN_OR_RETURN(std::vector<ListedJob> jobs,
                            parts_.jobs->List(project, before, limit + 1));
  const bool more = static_cast<int>(jobs.size()) > limit;
  if (more) jobs.pop_back();
  for (ListedJob& listed : jobs) {
    v1::Job* job = response.add_jobs();
    *job = std::move(listed.job);
    parts_.dispatcher->Annotate(*job);
  }
  if (more) {
    response.set_next_page_token(PageToken(project, jobs.back().position));
  }
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* CompressionServiceImpl::ListJobs(
    grpc::CallbackServerContext* context, const v1::ListJobsRequest* request,
    v1::ListJobsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  parts_.pool->Post([this, reactor, request, response] {
    reactor->Finish(ToGrpc(List(*request, *response)));
  });
  return reactor;
}

grpc::ServerWriteReactor<v1::JobEvent>* CompressionServiceImpl::WatchJob(
    grpc::CallbackServerContext* context, const v1::WatchJobRequest* request) {
  return NewWatchReactor(
      {.jobs = parts_.jobs, .hub = parts_.hub, .pool = parts_.pool}, *request);
}

grpc::ServerUnaryReactor* CompressionServiceImpl::CancelJob(
    grpc::CallbackServerContext* context, const v1::CancelJobRequest* request,
    v1::Job* response) {
  if (absl::Status status = CheckJobName(request->name(), "name");
      !status.ok()) {
    return FinishNow(context, status);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  parts_.dispatcher->CancelJob(request->name(), AnswerWith(reactor, response));
  return reactor;
}

grpc::ServerUnaryReactor* CompressionServiceImpl::ListArtifacts(
    grpc::CallbackServerContext* context,
    const v1::ListArtifactsRequest* request,
    v1::ListArtifactsResponse* response) {
  if (absl::Status status = CheckJobName(request->parent(), "parent");
      !status.ok()) {
    return FinishNow(context, status);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  parts_.pool->Post([this, reactor, request, response] {
    absl::StatusOr<JobRecord> record = parts_.jobs->Get(request->parent());
    if (record.ok()) {
      *response->mutable_artifacts() = record->job.artifacts();
    }
    reactor->Finish(ToGrpc(record.status()));
  });
  return reactor;
}

grpc::ServerUnaryReactor* CompressionServiceImpl::ListWorkers(
    grpc::CallbackServerContext* context, const v1::ListWorkersRequest* request,
    v1::ListWorkersResponse* response) {
  for (v1::Worker& worker : parts_.dispatcher->ListWorkers()) {
    *response->add_workers() = std::move(worker);
  }
  return FinishNow(context, absl::OkStatus());
}

}  // namespace condense
