#ifndef CONDENSE_SERVER_RPC_RPC_METRICS_H_
#define CONDENSE_SERVER_RPC_RPC_METRICS_H_

#include <memory>

#include "grpcpp/support/server_interceptor.h"
#include "server/metrics.h"

namespace condense {

// Observes how long each call of condense's own services took, and its code.
// `metrics` must outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
NewRpcMetrics(ServerMetrics* metrics);

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_RPC_METRICS_H_
