#ifndef CONDENSE_SERVER_RPC_WORKER_SERVICE_H_
#define CONDENSE_SERVER_RPC_WORKER_SERVICE_H_

#include "condense/v1/worker_service.grpc.pb.h"
#include "server/core/dispatcher.h"

namespace condense {

// Heartbeats, events and results of agents; see worker_service.proto.
class WorkerServiceImpl final : public v1::WorkerService::CallbackService {
 public:
  // `dispatcher` must outlive the service.
  explicit WorkerServiceImpl(Dispatcher* dispatcher)
      : dispatcher_(dispatcher) {}

  grpc::ServerUnaryReactor* Sync(grpc::CallbackServerContext* context,
                                 const v1::SyncRequest* request,
                                 v1::SyncResponse* response) override;
  grpc::ServerUnaryReactor* ReportEvents(
      grpc::CallbackServerContext* context,
      const v1::ReportEventsRequest* request,
      v1::ReportEventsResponse* response) override;
  grpc::ServerUnaryReactor* CompleteLease(
      grpc::CallbackServerContext* context,
      const v1::CompleteLeaseRequest* request,
      v1::CompleteLeaseResponse* response) override;

 private:
  Dispatcher* const dispatcher_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_WORKER_SERVICE_H_
