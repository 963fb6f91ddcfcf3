#ifndef CONDENSE_SERVER_CORE_JOB_STORE_H_
#define CONDENSE_SERVER_CORE_JOB_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "condense/v1/event.pb.h"
#include "condense/v1/job.pb.h"

namespace condense {

// A job and what the server alone knows about it.
struct JobRecord {
  v1::Job job;
  // Of what CreateJob was called with; tells a repeated call from a reused id.
  std::string request_fingerprint;
  // The index of the event that the current lease's worker reports next.
  int64_t next_index = 0;
  // A queued job is not leased before.
  absl::Time not_before = absl::InfinitePast();
};

// What becomes of one job in one step.
struct JobChange {
  // The whole record, new or instead of the old one.
  JobRecord record;
  // New ones, their sequence numbers following on those stored.
  std::vector<v1::JobEvent> events;
};

// A job in a listing.
struct ListedJob {
  // Grows with each job created.
  int64_t position = 0;
  v1::Job job;
};

// Keeps jobs and their events. Thread-safe. Any failure of the storage is
// INTERNAL with reason STORE_FAILED.
class JobStore {
 public:
  virtual ~JobStore() = default;

  // Stores all changes or none; durable when it returns.
  virtual absl::Status Commit(const std::vector<JobChange>& changes) = 0;
  // NOT_FOUND: no such job.
  virtual absl::StatusOr<JobRecord> Get(absl::string_view name) = 0;
  // The job that `request_id` made in the project, if any.
  virtual absl::StatusOr<std::optional<JobRecord>> FindByRequest(
      absl::string_view project, absl::string_view request_id) = 0;
  // All jobs that are not in a final state, oldest first.
  virtual absl::StatusOr<std::vector<JobRecord>> LoadUnfinished() = 0;
  virtual absl::StatusOr<std::map<v1::Job::State, int64_t>> CountByState() = 0;
  // Newest first, those with a position below `before` only.
  virtual absl::StatusOr<std::vector<ListedJob>> List(absl::string_view project,
                                                      int64_t before,
                                                      int limit) = 0;
  // In order of sequence; empty past the newest or if there is no such job.
  virtual absl::StatusOr<std::vector<v1::JobEvent>> ReadEvents(
      absl::string_view job, int64_t from_sequence, int limit) = 0;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_JOB_STORE_H_
