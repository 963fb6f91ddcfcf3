#include "server/rpc/rpc_server.h"

#include <chrono>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "server/rpc/blob_service.h"
#include "server/rpc/compression_service.h"
#include "server/rpc/device_profile_service.h"
#include "server/rpc/rpc_metrics.h"
#include "server/rpc/task_pool.h"
#include "server/rpc/worker_service.h"

namespace condense {
namespace {

constexpr int kDiskThreads = 2;

std::string HostOf(const std::string& address) {
  return address.substr(0, address.rfind(':'));
}

}  // namespace

// In the order in which they are built; destroyed in the opposite one.
struct RpcServer::Services {
  Services(Parts parts, JobRules rules)
      : parts(parts),
        pool(kDiskThreads),
        profiles(rules.profiles),
        compression({.dispatcher = parts.dispatcher,
                     .jobs = parts.jobs,
                     .blobs = parts.blobs,
                     .hub = parts.hub,
                     .pool = &pool},
                    std::move(rules)),
        blobs(parts.blobs, parts.metrics, &pool),
        workers(parts.dispatcher) {}

  const Parts parts;
  TaskPool pool;
  DeviceProfileServiceImpl profiles;
  CompressionServiceImpl compression;
  BlobServiceImpl blobs;
  WorkerServiceImpl workers;
  int port = 0;
  std::unique_ptr<grpc::Server> server;
};

RpcServer::RpcServer(std::unique_ptr<Services> services)
    : services_(std::move(services)) {}

RpcServer::~RpcServer() { Stop(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<RpcServer>> RpcServer::Start(
    Parts parts, JobRules rules, const std::string& address) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  auto services = std::make_unique<Services>(parts, std::move(rules));
  grpc::ServerBuilder builder;
  // Otherwise two servers would share a port, each with half of the calls.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(),
                           &services->port);
  builder.RegisterService(&services->compression);
  builder.RegisterService(&services->blobs);
  builder.RegisterService(&services->workers);
  builder.RegisterService(&services->profiles);
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(NewRpcMetrics(parts.metrics));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  services->server = builder.BuildAndStart();
  if (services->server == nullptr || services->port == 0) {
    return MakeError(absl::StatusCode::kUnavailable, "CANNOT_LISTEN",
                     absl::StrCat("cannot listen on ", address,
                                  ": it is in use or not an address of this "
                                  "machine"),
                     {.hint = absl::StrCat("take another --listen, e.g. ",
                                           HostOf(address), ":0")});
  }
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(services)));
}

int RpcServer::port() const { return services_->port; }

void RpcServer::Stop(absl::Duration grace) {
  if (services_->server == nullptr) return;
  if (auto* health = services_->server->GetHealthCheckService()) {
    health->Shutdown();
  }
  services_->parts.hub->Stop();
  services_->parts.dispatcher->Stop();
  services_->server->Shutdown(std::chrono::system_clock::now() +
                              absl::ToChronoMilliseconds(grace));
  services_->server->Wait();
  services_->server.reset();
}

}  // namespace condense
