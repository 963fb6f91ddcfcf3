#include "workers/agent/server_link.h"

#include "absl/time/clock.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/channel_arguments.h"

namespace condense::agent {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(30);
// More than a third of the longest lease in use: the server ends it before.
constexpr absl::Duration kSyncTimeout = absl::Hours(9);

std::shared_ptr<grpc::Channel> NewChannel(const std::string& server) {
  grpc::ChannelArguments arguments;
  // A server that restarts is found again at once.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // A held call over a dead connection must not be waited for; servers bear
  // one ping in five minutes by default.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 310000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(server, grpc::InsecureChannelCredentials(),
                                   arguments);
}

void SetDeadline(grpc::ClientContext* context, absl::Duration timeout) {
  context->set_deadline(absl::ToChronoTime(absl::Now() + timeout));
}

}  // namespace

ServerLink::ServerLink(const std::string& server)
    : channel_(NewChannel(server)),
      workers_(v1::WorkerService::NewStub(channel_)),
      blobs_(v1::BlobService::NewStub(channel_)) {}

absl::StatusOr<v1::SyncResponse> ServerLink::Sync(
    const v1::SyncRequest& request) {
  grpc::ClientContext context;
  SetDeadline(&context, kSyncTimeout);
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return absl::CancelledError("the agent stops");
    sync_ = &context;
  }
  v1::SyncResponse response;
  const grpc::Status status = workers_->Sync(&context, request, &response);
  {
    absl::MutexLock lock(&mu_);
    sync_ = nullptr;
  }
  if (!status.ok()) return FromGrpc(status);
  return response;
}

void ServerLink::InterruptSync() {
  absl::MutexLock lock(&mu_);
  if (sync_ != nullptr) sync_->TryCancel();
}

void ServerLink::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  if (sync_ != nullptr) sync_->TryCancel();
}

absl::StatusOr<int64_t> ServerLink::ReportEvents(
    const v1::Lease& lease, int64_t first,
    const std::vector<v1::JobEvent>& events) {
  v1::ReportEventsRequest request;
  *request.mutable_lease() = lease;
  request.set_first_index(first);
  request.mutable_events()->Add(events.begin(), events.end());
  v1::ReportEventsResponse response;
  grpc::ClientContext context;
  SetDeadline(&context, kCallTimeout);
  CONDENSE_RETURN_IF_ERROR(
      FromGrpc(workers_->ReportEvents(&context, request, &response)));
  return response.next_index();
}

absl::Status ServerLink::CompleteLease(
    const v1::CompleteLeaseRequest& request) {
  v1::CompleteLeaseResponse response;
  grpc::ClientContext context;
  SetDeadline(&context, kCallTimeout);
  return FromGrpc(workers_->CompleteLease(&context, request, &response));
}

BlobAccess ServerLink::blobs() const {
  BlobAccess access;
  access.stub = blobs_.get();
  access.retry = absl::Seconds(60);
  access.status_of = [](const grpc::Status& status) {
    return FromGrpc(status);
  };
  return access;
}

}  // namespace condense::agent
