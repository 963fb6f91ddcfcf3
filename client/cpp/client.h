#ifndef CONDENSE_CLIENT_CPP_CLIENT_H_
#define CONDENSE_CLIENT_CPP_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "condense/v1/blob_service.grpc.pb.h"
#include "condense/v1/compression_service.grpc.pb.h"
#include "condense/v1/device_profile_service.grpc.pb.h"
#include "grpcpp/channel.h"

namespace condense::client {

// One connection to a condense server, in the words of its API. Prints nothing.
// Every error is a status with a reason; a server that does not answer is
// UNAVAILABLE with reason SERVER_UNREACHABLE. Thread-safe.
class Client {
 public:
  struct Options {
    // "host:port".
    std::string server = "127.0.0.1:50551";
    std::string project = "default";
    // For a connection to come up.
    absl::Duration connect_timeout = absl::Seconds(5);
    // For one short call.
    absl::Duration call_timeout = absl::Seconds(30);
    // How long Watch tries to reach a server that has gone away.
    absl::Duration watch_retry = absl::Seconds(60);
    // How long uploads, downloads and CreateJob do.
    absl::Duration call_retry = absl::Seconds(10);
    // Must outlive the client.
    Clock* clock = Clock::Real();
  };
  explicit Client(Options options);

  const Options& options() const { return options_; }
  // OK as soon as the connection stands; fails at once if it is refused.
  absl::Status CheckReachable();

  // "j-8f3k2" or a full name, to a full name. INVALID_ARGUMENT with reason
  // BAD_JOB_NAME.
  absl::StatusOr<std::string> JobName(absl::string_view job) const;
  // "projects/p/jobs/j-8f3k2" to "j-8f3k2".
  static std::string ShortName(absl::string_view job_name);

  // Repeats the call while the server is away; `request_id` must be set.
  absl::StatusOr<v1::Job> CreateJob(const v1::JobSpec& spec,
                                    const std::string& request_id,
                                    bool validate_only = false);
  absl::StatusOr<v1::Job> GetJob(absl::string_view job);
  absl::StatusOr<v1::Job> CancelJob(absl::string_view job);
  // One page, newest first; an empty token asks for the first.
  absl::StatusOr<v1::ListJobsResponse> ListJobs(int page_size,
                                                const std::string& page_token);
  absl::StatusOr<std::vector<v1::Artifact>> ListArtifacts(
      absl::string_view job);
  absl::StatusOr<std::vector<v1::Worker>> ListWorkers();
  absl::StatusOr<std::vector<v1::DeviceProfile>> ListProfiles();
  absl::StatusOr<v1::DeviceProfile> GetProfile(const std::string& id);
  // The server's word on itself, e.g. "SERVING" or "NOT_SERVING".
  absl::StatusOr<std::string> Health();

  struct WatchCallbacks {
    // Each event once, in order, without a gap. false: stop watching.
    std::function<bool(const v1::JobEvent&)> on_event;
    // The server has gone away; another try follows. May be empty.
    std::function<void(const absl::Status&)> on_retry;
  };
  // Follows a job from `from_sequence` to its final state; OK then, or when
  // on_event said stop. Attaches again after a lost connection, for as long as
  // Options.watch_retry without any event; then UNAVAILABLE.
  absl::Status Watch(absl::string_view job, int64_t from_sequence,
                     const WatchCallbacks& callbacks);

  v1::BlobService::StubInterface* blobs() { return blobs_.get(); }

 private:
  absl::Status WatchOnce(const std::string& name, int64_t* next,
                         const WatchCallbacks& callbacks, bool* done);

  Options options_;
  std::shared_ptr<grpc::Channel> channel_;  // Shared with the stubs, by gRPC.
  std::unique_ptr<v1::CompressionService::Stub> jobs_;
  std::unique_ptr<v1::BlobService::Stub> blobs_;
  std::unique_ptr<v1::DeviceProfileService::Stub> profiles_;
};

// Makes a status of ours of one of gRPC's; UNAVAILABLE without a reason of the
// server's own becomes SERVER_UNREACHABLE and names `server`.
absl::Status StatusOfCall(const grpc::Status& status,
                          const std::string& server);

// True for SUCCEEDED, FAILED and CANCELLED.
bool IsFinal(v1::Job::State state);

// A random UUID (RFC 9562, version 4).
std::string NewRequestId();

}  // namespace condense::client

#endif  // CONDENSE_CLIENT_CPP_CLIENT_H_
