#ifndef CONDENSE_SERVER_RPC_WATCH_REACTOR_H_
#define CONDENSE_SERVER_RPC_WATCH_REACTOR_H_

#include "condense/v1/compression_service.grpc.pb.h"
#include "server/core/job_store.h"
#include "server/core/watch_hub.h"
#include "server/rpc/task_pool.h"

namespace condense {

// All must outlive the stream.
struct WatchParts {
  JobStore* jobs;
  WatchHub* hub;
  TaskPool* pool;
};

// One WatchJob stream. It sends one event at a time and takes the next ones, at
// most a batch, only when the last has gone out: a slow watcher costs a batch
// of memory and delays nobody. Deletes itself when the stream is done.
grpc::ServerWriteReactor<v1::JobEvent>* NewWatchReactor(
    WatchParts parts, const v1::WatchJobRequest& request);

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_WATCH_REACTOR_H_
