// Submits jobs to a condense-server that is already running and prints what a
// durable submission costs. Usage: submit_benchmark ADDR:PORT [COUNT]
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/grpc_status.h"
#include "condense/v1/blob_service.grpc.pb.h"
#include "condense/v1/compression_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace condense {
namespace {

constexpr char kModel[] = "not a model, but the server does not look";

absl::Status Upload(const std::shared_ptr<grpc::Channel>& channel) {
  auto stub = v1::BlobService::NewStub(channel);
  grpc::ClientContext context;
  v1::WriteResponse response;
  auto writer = stub->Write(&context, &response);
  v1::WriteRequest request;
  request.set_digest(DigestOf(kModel));
  request.set_size_bytes(sizeof(kModel) - 1);
  request.set_data(kModel);
  writer->Write(request);
  writer->WritesDone();
  return FromGrpc(writer->Finish());
}

v1::CreateJobRequest NewRequest() {
  v1::CreateJobRequest request;
  request.set_parent("projects/benchmark");
  v1::JobSpec* spec = request.mutable_job()->mutable_spec();
  spec->mutable_model()->set_digest(DigestOf(kModel));
  spec->set_recipe("stages: [quantize: {mode: ptq}]");
  spec->add_profiles("onnxruntime-cpu-x86-vnni");
  return request;
}

absl::Status Submit(v1::CompressionService::Stub& stub) {
  grpc::ClientContext context;
  v1::Job job;
  return FromGrpc(stub.CreateJob(&context, NewRequest(), &job));
}

double Quantile(const std::vector<double>& sorted, double q) {
  return sorted[static_cast<size_t>(q *
                                    static_cast<double>(sorted.size() - 1))];
}

// One client, one submission after the other.
absl::Status Sequential(const std::shared_ptr<grpc::Channel>& channel,
                        int count) {
  auto stub = v1::CompressionService::NewStub(channel);
  std::vector<double> millis;
  for (int i = 0; i < count; ++i) {
    const absl::Time start = absl::Now();
    if (absl::Status status = Submit(*stub); !status.ok()) return status;
    millis.push_back(absl::ToDoubleMilliseconds(absl::Now() - start));
  }
  std::sort(millis.begin(), millis.end());
  std::cout << "submit_ms_p50 " << Quantile(millis, .5) << "\nsubmit_ms_p99 "
            << Quantile(millis, .99) << std::endl;
  return absl::OkStatus();
}

// All at once, so that the server can store many in one transaction.
void Pipelined(const std::shared_ptr<grpc::Channel>& channel, int count) {
  struct Call {
    grpc::ClientContext context;
    v1::Job job;
    grpc::Status status;
    std::unique_ptr<grpc::ClientAsyncResponseReader<v1::Job>> reader;
  };
  auto stub = v1::CompressionService::NewStub(channel);
  grpc::CompletionQueue queue;
  std::vector<Call> calls(static_cast<size_t>(count));
  const v1::CreateJobRequest request = NewRequest();
  const absl::Time start = absl::Now();
  for (Call& call : calls) {
    call.reader = stub->AsyncCreateJob(&call.context, request, &queue);
    call.reader->Finish(&call.job, &call.status, &call);
  }
  int accepted = 0;
  for (int i = 0; i < count; ++i) {
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    accepted += static_cast<Call*>(tag)->status.ok();
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  std::cout << "submit_pipelined_per_second " << accepted / seconds
            << std::endl;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: submit_benchmark ADDR:PORT [COUNT]\n";
    return 2;
  }
  const int count = argc > 2 ? std::max(1, std::atoi(argv[2])) : 500;
  auto channel =
      grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials());
  absl::Status status = Upload(channel);
  if (status.ok()) status = Sequential(channel, count);
  if (!status.ok()) {
    std::cerr << ErrorText(status) << std::endl;
    return 1;
  }
  Pipelined(channel, count);
  return 0;
}

}  // namespace
}  // namespace condense

int main(int argc, char** argv) { return condense::Main(argc, argv); }
