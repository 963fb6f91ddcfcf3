#include "server/rpc/rpc_metrics.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "common/error.h"

namespace condense {
namespace {

using grpc::experimental::InterceptionHookPoints;

class Interceptor : public grpc::experimental::Interceptor {
 public:
  Interceptor(ServerMetrics* metrics, absl::string_view method)
      : metrics_(metrics), method_(method), start_(absl::Now()) {}

  // A call without a status was broken off by the client.
  ~Interceptor() override {
    metrics_->RpcEnded(method_, code_, absl::Now() - start_);
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* call) override {
    if (call->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      code_ = CodeName(
          static_cast<absl::StatusCode>(call->GetSendStatus().error_code()));
    }
    call->Proceed();
  }

 private:
  ServerMetrics* const metrics_;
  const std::string method_;
  const absl::Time start_;
  std::string code_ = "CANCELLED";
};

class Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Factory(ServerMetrics* metrics) : metrics_(metrics) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    // "/condense.v1.CompressionService/GetJob". What clients invent must not
    // become a label.
    const absl::string_view path = info->method();
    if (!absl::StartsWith(path, "/condense.v1.")) return nullptr;
    return new Interceptor(metrics_, path.substr(path.rfind('/') + 1));
  }

 private:
  ServerMetrics* const metrics_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
NewRpcMetrics(ServerMetrics* metrics) {
  return std::make_unique<Factory>(metrics);
}

}  // namespace condense
