#ifndef CONDENSE_WORKERS_AGENT_SERVER_LINK_H_
#define CONDENSE_WORKERS_AGENT_SERVER_LINK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/blob_transfer.h"
#include "condense/v1/blob_service.grpc.pb.h"
#include "condense/v1/worker_service.grpc.pb.h"
#include "grpcpp/channel.h"

namespace condense::agent {

// The agent's calls to its server. Statuses are ours, with the server's
// reasons; a server that stops answers UNAVAILABLE. Thread-safe.
class ServerLink {
 public:
  // "host:port".
  explicit ServerLink(const std::string& server);

  // Held by the server; ends with CANCELLED after InterruptSync.
  absl::StatusOr<v1::SyncResponse> Sync(const v1::SyncRequest& request);
  void InterruptSync();
  // As InterruptSync, for every later Sync too.
  void Close();
  // The index that the server wants next.
  absl::StatusOr<int64_t> ReportEvents(const v1::Lease& lease, int64_t first,
                                       const std::vector<v1::JobEvent>& events);
  absl::Status CompleteLease(const v1::CompleteLeaseRequest& request);

  BlobAccess blobs() const;

 private:
  // Shared with the stubs, by gRPC.
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<v1::WorkerService::Stub> workers_;
  const std::unique_ptr<v1::BlobService::Stub> blobs_;
  absl::Mutex mu_;
  grpc::ClientContext* sync_ ABSL_GUARDED_BY(mu_) = nullptr;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_SERVER_LINK_H_
