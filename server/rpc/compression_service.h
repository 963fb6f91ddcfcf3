#ifndef CONDENSE_SERVER_RPC_COMPRESSION_SERVICE_H_
#define CONDENSE_SERVER_RPC_COMPRESSION_SERVICE_H_

#include "condense/v1/compression_service.grpc.pb.h"
#include "server/core/blob_store.h"
#include "server/core/dispatcher.h"
#include "server/core/job_store.h"
#include "server/core/job_validation.h"
#include "server/core/watch_hub.h"
#include "server/rpc/task_pool.h"

namespace condense {

// Jobs for pipelines and people; see compression_service.proto.
class CompressionServiceImpl final
    : public v1::CompressionService::CallbackService {
 public:
  // All must outlive the service.
  struct Parts {
    Dispatcher* dispatcher;
    JobStore* jobs;
    BlobStore* blobs;
    WatchHub* hub;
    TaskPool* pool;
  };
  CompressionServiceImpl(Parts parts, JobRules rules)
      : parts_(parts), rules_(std::move(rules)) {}

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context,
                                      const v1::CreateJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request,
                                   v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(
      grpc::CallbackServerContext* context,
      const v1::WatchJobRequest* request) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* ListArtifacts(
      grpc::CallbackServerContext* context,
      const v1::ListArtifactsRequest* request,
      v1::ListArtifactsResponse* response) override;
  grpc::ServerUnaryReactor* ListWorkers(
      grpc::CallbackServerContext* context,
      const v1::ListWorkersRequest* request,
      v1::ListWorkersResponse* response) override;

 private:
  absl::Status List(const v1::ListJobsRequest& request,
                    v1::ListJobsResponse& response);

  const Parts parts_;
  const JobRules rules_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_COMPRESSION_SERVICE_H_
