#ifndef CONDENSE_SERVER_RPC_BLOB_SERVICE_H_
#define CONDENSE_SERVER_RPC_BLOB_SERVICE_H_

#include "condense/v1/blob_service.grpc.pb.h"
#include "server/core/blob_store.h"
#include "server/metrics.h"
#include "server/rpc/task_pool.h"

namespace condense {

// Files by their sha-256; see blob_service.proto. Disk work runs on the pool,
// one chunk of a stream at a time.
class BlobServiceImpl final : public v1::BlobService::CallbackService {
 public:
  // All must outlive the service.
  BlobServiceImpl(BlobStore* blobs, ServerMetrics* metrics, TaskPool* pool)
      : blobs_(blobs), metrics_(metrics), pool_(pool) {}

  grpc::ServerUnaryReactor* FindMissing(
      grpc::CallbackServerContext* context,
      const v1::FindMissingRequest* request,
      v1::FindMissingResponse* response) override;
  grpc::ServerReadReactor<v1::WriteRequest>* Write(
      grpc::CallbackServerContext* context,
      v1::WriteResponse* response) override;
  grpc::ServerUnaryReactor* QueryWrite(
      grpc::CallbackServerContext* context,
      const v1::QueryWriteRequest* request,
      v1::QueryWriteResponse* response) override;
  grpc::ServerWriteReactor<v1::ReadResponse>* Read(
      grpc::CallbackServerContext* context,
      const v1::ReadRequest* request) override;

 private:
  BlobStore* const blobs_;
  ServerMetrics* const metrics_;
  TaskPool* const pool_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_BLOB_SERVICE_H_
