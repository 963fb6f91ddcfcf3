#ifndef CONDENSE_COMMON_GRPC_STATUS_H_
#define CONDENSE_COMMON_GRPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace condense {

// For the wire. The details (trailer grpc-status-details-bin) are a
// google.rpc.Status with exactly one google.rpc.ErrorInfo, as AIP-193 asks, and
// a google.rpc.BadRequest if the error names a field. A status that MakeError
// did not make gets its code's name as reason.
grpc::Status ToGrpc(const absl::Status& status);

// What ToGrpc was given. For errors of gRPC itself, such as a server that is
// not reachable, the reason is the code's name.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace condense

#endif  // CONDENSE_COMMON_GRPC_STATUS_H_
