#ifndef CONDENSE_SERVER_CORE_JOB_TABLE_H_
#define CONDENSE_SERVER_CORE_JOB_TABLE_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "condense/v1/event.pb.h"
#include "condense/v1/job.pb.h"
#include "condense/v1/worker_service.pb.h"
#include "server/core/blob_store.h"
#include "server/core/job_queue.h"
#include "server/core/job_store.h"
#include "server/core/worker_table.h"
#include "server/metrics.h"

namespace condense {

// The jobs that are not in a final state, the queue and the leases: what the
// server decides, without a thread, a clock or storage. A worker holds a job
// for as long as it renews its lease; the table never calls a worker.
//
// Every change is kept for TakeChanges; whoever calls stores it before anybody
// is told. Finished jobs leave the table with that. Not thread-safe.
class JobTable {
 public:
  struct Options {
    // How long a worker may be silent before its job is queued again. Raise it
    // where workers stall on storage; lowering it below 10 s duplicates work.
    absl::Duration lease = absl::Seconds(30);
  };

  // `blobs` and `metrics` must outlive the table.
  JobTable(Options options, BlobStore* blobs, ServerMetrics* metrics);

  // Takes the stored unfinished jobs instead of all that is here. Running jobs
  // keep their leases: their workers have a full lease to report again.
  void Load(std::vector<JobRecord> records, absl::Time now);

  // Queues a new job, whose name, uid and spec are set.
  void Add(JobRecord record, absl::Time now);
  // The unfinished job, or null.
  const JobRecord* Find(absl::string_view name) const;
  // The unfinished job that the request_id made in the project, or null.
  const JobRecord* FindByRequest(absl::string_view project,
                                 absl::string_view request_id) const;
  // Queued: CANCELLED. Running: CANCELLING. The job must be in the table.
  v1::Job Cancel(absl::string_view name, absl::Time now);
  // Sets pending_reason and queue_position of a queued job.
  void Annotate(v1::Job& job, absl::Time now) const;

  // A worker's heartbeat: renews the leases it names, notes their checkpoints.
  // Leases with events that a freshly started agent does not know are lost.
  void HeardFrom(const v1::SyncRequest& request, absl::Time now);
  // What the worker should be doing, all fields set. The version depends on
  // nothing but the wish, so it survives a restart.
  v1::SyncResponse WishFor(const v1::SyncRequest& request) const;
  // Appends a worker's events; returns the index wanted next.
  absl::StatusOr<int64_t> ReportEvents(const v1::ReportEventsRequest& request,
                                       absl::Time now);
  // Ends a lease of a job in the table.
  absl::Status CompleteLease(const v1::CompleteLeaseRequest& request,
                             absl::Time now);
  // Whether the worker has ended this lease before, so that repeating it is
  // safe.
  static bool IsCompleted(const v1::Job& job, int epoch);

  // Queues the jobs of silent workers again; returns how many.
  int ExpireLeases(absl::Time now);
  // Leases queued jobs to free slots of the `waiting` workers.
  void Dispatch(const std::vector<std::string>& waiting, absl::Time now);
  // When a lease or a backoff ends next.
  absl::Time NextDeadline(absl::Time now) const;

  // What changed since the last call, in no particular order of jobs.
  std::vector<JobChange> TakeChanges();

  const WorkerTable& workers() const { return workers_; }
  // jobs, workers, demand and ages. `jobs` has unfinished ones only.
  ServerGauges Gauges(absl::Time now) const;

 private:
  struct Lease {
    std::string worker;
    absl::Time deadline;
    // For the metric of phases.
    v1::Job::Phase phase = v1::Job::PHASE_UNSPECIFIED;
    absl::Time phase_since;
  };

  JobRecord* FindMutable(absl::string_view name);
  // The record of a lease that is still held, or STALE_EPOCH.
  absl::StatusOr<JobRecord*> Held(const v1::Lease& lease);
  void Append(JobRecord& record, v1::JobEvent event);
  void AppendFromWorker(JobRecord& record, const v1::JobEvent& event,
                        absl::Time now);
  void NotePhase(Lease& lease, v1::Job::Phase phase, absl::Time now);
  void TakeCheckpoint(JobRecord& record, const v1::Checkpoint& checkpoint);
  void RenewLease(const v1::SlotStatus& slot, const std::string& worker,
                  absl::Time now);
  void Enqueue(const JobRecord& record);
  void StartLease(JobRecord& record, const std::string& worker, absl::Time now);
  void EndLease(JobRecord& record, v1::Attempt::Outcome outcome,
                absl::string_view reason, absl::Time now);
  void Finish(JobRecord& record, v1::Job::State state, absl::Time now);
  // After an attempt that did not end the job: again, or no more.
  void QueueAgain(JobRecord& record, absl::Duration wait, absl::Time now);
  void InterruptLease(JobRecord& record, v1::Attempt::Outcome outcome,
                      absl::string_view reason, absl::Time now);
  absl::Status CheckArtifacts(const v1::Job& job,
                              const v1::CompleteLeaseRequest& request) const;

  const Options options_;
  BlobStore* const blobs_;
  ServerMetrics* const metrics_;

  absl::flat_hash_map<std::string, JobRecord> jobs_;
  // "project/request_id" to job.
  absl::flat_hash_map<std::string, std::string> requests_;
  JobQueue queue_;
  // By job.
  std::map<std::string, Lease> leases_;
  // Ends of backoffs.
  std::set<absl::Time> backoffs_;
  WorkerTable workers_;

  absl::flat_hash_map<std::string, std::vector<v1::JobEvent>> changed_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_JOB_TABLE_H_
