#ifndef CONDENSE_WORKERS_AGENT_LEASE_RUNNER_H_
#define CONDENSE_WORKERS_AGENT_LEASE_RUNNER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "condense/v1/worker_service.pb.h"
#include "workers/agent/blob_cache.h"
#include "workers/agent/checkpoint_uploader.h"
#include "workers/agent/engine_pool.h"
#include "workers/agent/event_relay.h"
#include "workers/agent/metrics.h"
#include "workers/agent/server_link.h"

namespace condense::agent {

// Runs one lease from its assignment to CompleteLease on a thread of its own:
// fetches the blobs, gives the job to an engine, relays what it says, uploads
// checkpoints and artifacts, and tells the server how it ended. Thread-safe.
class LeaseRunner {
 public:
  struct Options {
    // All must outlive the runner.
    ServerLink* server = nullptr;
    BlobCache* cache = nullptr;
    EnginePool* engines = nullptr;
    WorkerMetrics* metrics = nullptr;
    // "cpu" or "cuda:0", and intra-op threads.
    std::string device;
    int threads = 0;
    // A folder of this lease alone; removed at the end.
    std::string folder;
    double checkpoint_interval_seconds = 30;
    // Called once, from the runner's thread, when it has ended.
    std::function<void()> done;
  };
  LeaseRunner(v1::Assignment assignment, Options options);
  // The lease must have ended; waits for the thread.
  ~LeaseRunner();

  const v1::Lease& lease() const { return assignment_.lease(); }
  const std::string& device() const { return options_.device; }
  // For SyncRequest.busy.
  v1::SlotStatus Status() const;
  // The owner cancelled the job: ends the engine, kills it after 5 s.
  void Cancel();
  // Checkpoint, give the lease back.
  void Drain();
  // The server gave the lease to another one: ends without a word.
  void Abandon();
  // The grace is over: kills the engine and gives the lease back from the
  // newest checkpoint, in one call.
  void EndNow();
  bool ended() const { return ended_; }
  // The engine is done; only the server has to be told.
  bool completing() const { return completing_; }

 private:
  enum class Wish { kRun, kDrain, kCancel, kEndNow, kAbandon };

  void Work();
  // Raises the wish; false if it was as high before.
  bool Raise(Wish wish);
  Wish wish() const;
  absl::Status Fetch();
  absl::Status WriteJobFile() const;
  // Runs the engine to its end; its Done, or nullopt if it died.
  absl::StatusOr<std::optional<v1::Done>> RunEngine();
  // Tells a running engine what the wish is.
  void PassOn(Wish wish);
  // Kills the engine if it is still there after a while.
  void Reap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Relay(const v1::EngineEvent& event, std::optional<v1::Done>* done);
  absl::Status UploadArtifact(const v1::ArtifactWritten& written);
  void Say(v1::Job::Phase phase);
  // How the lease ended, for the server.
  v1::CompleteLeaseRequest Completion(const absl::Status& status,
                                      const std::optional<v1::Done>& done);
  v1::Error DeathOf(const EngineProcess& engine) const;
  void Complete(v1::CompleteLeaseRequest request);

  const v1::Assignment assignment_;
  const Options options_;
  std::atomic<bool> ended_{false};
  std::atomic<bool> completing_{false};
  // Before the relay, whose thread uses it until it is joined.
  mutable absl::Mutex mu_;
  Wish wish_ ABSL_GUARDED_BY(mu_) = Wish::kRun;
  // While it runs. Owned by the thread of Work.
  EngineProcess* engine_ ABSL_GUARDED_BY(mu_) = nullptr;
  EventRelay relay_;
  CheckpointUploader checkpoints_;
  v1::EngineStats stats_;
  v1::Job::Phase phase_ = v1::Job::FETCHING;
  // What the engine wrote, and its files with digests once they are uploaded.
  std::vector<v1::ArtifactWritten> written_;
  std::vector<v1::Artifact> artifacts_;
  // Set when the engine died without a word.
  std::string how_it_ended_;

  std::thread thread_;
  // Kills what does not end by itself.
  std::thread reaper_;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_LEASE_RUNNER_H_
