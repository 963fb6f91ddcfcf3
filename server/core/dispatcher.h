#ifndef CONDENSE_SERVER_CORE_DISPATCHER_H_
#define CONDENSE_SERVER_CORE_DISPATCHER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/clock.h"
#include "condense/v1/job.pb.h"
#include "condense/v1/worker_service.pb.h"
#include "server/core/blob_store.h"
#include "server/core/job_store.h"
#include "server/core/job_table.h"
#include "server/core/watch_hub.h"
#include "server/metrics.h"

namespace condense {

// Runs a JobTable on one thread, which is also the store's only writer. What
// has come in while the last change was written is decided together and stored
// in one transaction; then, and not before, it is answered and watchers are
// told. Idle workers are given a job in the transaction that makes it
// available.
//
// Calls return at once; `done` is called once, from the dispatcher's thread or,
// when it is stopped, from the caller's, and must not block.
// Thread-safe.
class Dispatcher {
 public:
  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  // All must outlive the dispatcher.
  struct Parts {
    Clock* clock;
    JobStore* jobs;
    BlobStore* blobs;
    WatchHub* hub;
    ServerMetrics* metrics;
  };
  Dispatcher(Parts parts, JobTable::Options options);
  // Stops.
  ~Dispatcher();

  // Loads the unfinished jobs and starts the thread. Call once, first.
  absl::Status Start();
  // Finishes what has come in and answers waiting workers with UNAVAILABLE;
  // so is what comes later.
  void Stop();

  // Creates a job of record.job's spec and request_id in the project, or finds
  // the one that this request_id made. ALREADY_EXISTS: it made another.
  void CreateJob(std::string project, JobRecord record, Done<v1::Job> done);
  // NOT_FOUND: no such job. A finished job stays as it is.
  void CancelJob(std::string name, Done<v1::Job> done);
  void ReportEvents(v1::ReportEventsRequest request, Done<int64_t> done);
  void CompleteLease(v1::CompleteLeaseRequest request, Done<bool> done);
  // Answers when the wish differs from known_version or a third of the lease
  // has passed. Returns a ticket for CancelSync.
  int64_t Sync(v1::SyncRequest request, Done<v1::SyncResponse> done);
  // The agent has gone away: it is given nothing. `done` is called, if it was
  // not yet.
  void CancelSync(int64_t ticket);

  // Sets pending_reason and queue_position of a queued job.
  void Annotate(v1::Job& job);
  std::vector<v1::Worker> ListWorkers();
  ServerGauges Gauges();

 private:
  // Answers, given how storing went.
  using Completion = std::function<void(const absl::Status&)>;
  // Runs with mu_ held.
  using Command = std::function<Completion(absl::Time)>;
  struct ParkedSync {
    v1::SyncRequest request;
    absl::Time deadline;
    Done<v1::SyncResponse> done;
  };

  void Post(Command command, Completion refused);
  void Loop();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Completion> RunCommands(absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AnswerSyncs(absl::Time now, std::vector<Completion>& completions)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StoreAndAnswer(std::vector<JobChange> changes,
                      std::vector<Completion> completions)
      ABSL_LOCKS_EXCLUDED(mu_);
  absl::Status Reload() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<v1::Job> CreateNow(const std::string& project,
                                    JobRecord record, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CompleteNow(const v1::CompleteLeaseRequest& request,
                           absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Parts parts_;
  const absl::Duration lease_;
  std::thread thread_;

  absl::Mutex mu_;
  JobTable table_ ABSL_GUARDED_BY(mu_);
  absl::BitGen random_ ABSL_GUARDED_BY(mu_);
  std::deque<std::pair<Command, Completion>> commands_ ABSL_GUARDED_BY(mu_);
  std::map<int64_t, ParkedSync> parked_ ABSL_GUARDED_BY(mu_);
  int64_t next_ticket_ ABSL_GUARDED_BY(mu_) = 1;
  // Finished jobs, all that are stored.
  std::map<v1::Job::State, int64_t> finished_ ABSL_GUARDED_BY(mu_);
  // Memory is ahead of the store since storing failed.
  bool must_reload_ ABSL_GUARDED_BY(mu_) = false;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_DISPATCHER_H_
