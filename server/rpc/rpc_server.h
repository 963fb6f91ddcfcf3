#ifndef CONDENSE_SERVER_RPC_RPC_SERVER_H_
#define CONDENSE_SERVER_RPC_RPC_SERVER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/core/blob_store.h"
#include "server/core/dispatcher.h"
#include "server/core/job_store.h"
#include "server/core/job_validation.h"
#include "server/core/watch_hub.h"
#include "server/metrics.h"

namespace condense {

// The gRPC server with all of condense's services, health checking and
// reflection. Not thread-safe; its services are.
class RpcServer {
 public:
  // All must outlive the server. The dispatcher is started.
  struct Parts {
    Dispatcher* dispatcher;
    JobStore* jobs;
    BlobStore* blobs;
    WatchHub* hub;
    ServerMetrics* metrics;
  };

  // Listens on "ADDR:PORT"; port 0 takes any free one. UNAVAILABLE, reason
  // CANNOT_LISTEN: e.g. the port is in use.
  static absl::StatusOr<std::unique_ptr<RpcServer>> Start(
      Parts parts, JobRules rules, const std::string& address);
  // Stops at once, if Stop was not called.
  ~RpcServer();

  // The port it listens on.
  int port() const;
  // Ends streams and long polls with UNAVAILABLE, lets other calls end within
  // `grace`, and breaks off what is left. Stops the dispatcher too.
  void Stop(absl::Duration grace);

 private:
  struct Services;
  explicit RpcServer(std::unique_ptr<Services> services);
  std::unique_ptr<Services> services_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_RPC_SERVER_H_
