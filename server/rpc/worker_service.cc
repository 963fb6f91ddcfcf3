#include "server/rpc/worker_service.h"

#include <atomic>
#include <cstdint>
#include <utility>

#include "common/grpc_status.h"
#include "server/core/errors.h"

namespace condense {
namespace {

constexpr int kMostSlots = 1024;

// A long poll. When the agent goes away it is taken out of the dispatcher, so
// that no job is given to nobody.
class SyncReactor : public grpc::ServerUnaryReactor {
 public:
  SyncReactor(Dispatcher* dispatcher, const v1::SyncRequest& request,
              v1::SyncResponse* response)
      : dispatcher_(dispatcher) {
    const int64_t ticket = dispatcher_->Sync(
        request, [this, response](absl::StatusOr<v1::SyncResponse> wish) {
          if (wish.ok()) *response = *std::move(wish);
          Finish(ToGrpc(wish.status()));
        });
    ticket_.store(ticket);
  }

  void OnCancel() override { dispatcher_->CancelSync(ticket_); }
  void OnDone() override { delete this; }

 private:
  Dispatcher* const dispatcher_;
  std::atomic<int64_t> ticket_{0};
};

absl::Status CheckSync(const v1::SyncRequest& request) {
  if (request.worker().name().empty()) return FieldMissing("worker.name");
  if (request.worker().slots() < 0 || request.worker().slots() > kMostSlots) {
    return FieldOutOfRange("worker.slots", request.worker().slots(), 0,
                           kMostSlots);
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* WorkerServiceImpl::Sync(
    grpc::CallbackServerContext* context, const v1::SyncRequest* request,
    v1::SyncResponse* response) {
  if (absl::Status status = CheckSync(*request); !status.ok()) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  return new SyncReactor(dispatcher_, *request, response);
}

grpc::ServerUnaryReactor* WorkerServiceImpl::ReportEvents(
    grpc::CallbackServerContext* context,
    const v1::ReportEventsRequest* request,
    v1::ReportEventsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  dispatcher_->ReportEvents(
      *request, [reactor, response](absl::StatusOr<int64_t> next_index) {
        if (next_index.ok()) response->set_next_index(*next_index);
        reactor->Finish(ToGrpc(next_index.status()));
      });
  return reactor;
}

grpc::ServerUnaryReactor* WorkerServiceImpl::CompleteLease(
    grpc::CallbackServerContext* context,
    const v1::CompleteLeaseRequest* request,
    v1::CompleteLeaseResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  dispatcher_->CompleteLease(*request, [reactor](absl::StatusOr<bool> done) {
    reactor->Finish(ToGrpc(done.status()));
  });
  return reactor;
}

}  // namespace condense
