#ifndef CONDENSE_TESTS_TESTING_FAKE_SERVER_H_
#define CONDENSE_TESTS_TESTING_FAKE_SERVER_H_

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "condense/v1/blob_service.grpc.pb.h"
#include "condense/v1/compression_service.grpc.pb.h"
#include "condense/v1/device_profile_service.grpc.pb.h"
#include "grpcpp/server.h"

namespace condense {

// What a fake server answers, and what it was asked. Guarded by `mu`, which
// tests need not take while no call is under way.
struct FakeServerState {
  absl::Mutex mu;

  // What GetJob, CreateJob and ListArtifacts show.
  v1::Job job;
  absl::Status create_status;
  // CreateJob answers UNAVAILABLE so many times first.
  int create_unavailable = 0;
  std::vector<v1::CreateJobRequest> creates;
  // Of ListJobs; pages have at most `page_size` of them.
  std::vector<v1::Job> jobs;
  std::vector<v1::Worker> workers;
  std::vector<v1::DeviceProfile> profiles;

  // Of WatchJob, in order, from sequence 1.
  std::vector<v1::JobEvent> events;
  // Each call takes the first number, sends so many events and then ends with
  // UNAVAILABLE; when none is left, all are sent.
  std::deque<int> watch_cuts;
  // Each call starts with so many events that were not asked for again.
  int watch_overlap = 0;
  std::vector<int64_t> watched_from;

  // By digest: whole blobs, and the committed parts of others.
  std::map<std::string, std::string> blobs;
  std::map<std::string, std::string> parts;
  // The next Write commits so many bytes and ends with UNAVAILABLE; -1: no cut.
  int64_t write_cut = -1;
  // The same for Read.
  int64_t read_cut = -1;
  std::vector<int64_t> read_offsets;
  // Bytes that came in by Write.
  int64_t bytes_written = 0;
  int writes = 0;
};

// The services that clients use, in this process, on a free port of loopback.
// Stops in its destructor.
class FakeServer {
 public:
  FakeServer();
  ~FakeServer();
  // "127.0.0.1:41231".
  const std::string& address() const { return address_; }
  FakeServerState& state() { return state_; }
  // Stores a blob and returns its digest.
  std::string AddBlob(const std::string& content);

 private:
  FakeServerState state_;
  std::unique_ptr<v1::CompressionService::Service> jobs_;
  std::unique_ptr<v1::BlobService::Service> blobs_;
  std::unique_ptr<v1::DeviceProfileService::Service> profiles_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// The events of a small job that succeeds: one phase of training with three
// losses, one artifact, one warning. Times are a second apart.
std::vector<v1::JobEvent> SmallJobEvents();

}  // namespace condense

#endif  // CONDENSE_TESTS_TESTING_FAKE_SERVER_H_
