#ifndef CONDENSE_SERVER_CORE_SCHEDULING_H_
#define CONDENSE_SERVER_CORE_SCHEDULING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "condense/v1/job.pb.h"
#include "condense/v1/worker_service.pb.h"

// Which job runs where: pure functions over snapshots. Same input, same answer.

namespace condense {

// What the scheduler knows of a queued job.
struct QueuedJob {
  std::string name;
  v1::DeviceRequirement device;
  int32_t priority = 0;
  // When it was created; a job that is queued again keeps its age.
  absl::Time create_time;
  // Not leased before, after a failure of the infrastructure.
  absl::Time not_before = absl::InfinitePast();
};

// What the scheduler knows of a worker.
struct WorkerView {
  std::vector<v1::Device> devices;
  int free_slots = 0;
  // Takes no new job.
  bool draining = false;
};

// The order of the queue: priority, then age, then name.
bool RunsBefore(const QueuedJob& a, const QueuedJob& b);

// Whether one of the worker's devices has the kind and the memory asked for;
// says nothing of free slots. A CPU job may not sit on a GPU's slot, so it
// wants a CPU device.
bool Fits(const v1::DeviceRequirement& wanted, const WorkerView& worker);

// The job that a free slot of `worker` should run next: the first of `queue`
// (in the order of RunsBefore) that fits and whose time has come. Jobs that do
// not fit block nobody.
std::optional<std::string> PickJob(const WorkerView& worker,
                                   const std::vector<QueuedJob>& queue,
                                   absl::Time now);

// Why `job` is not running, given the workers that are connected.
v1::Job::PendingReason PendingReasonOf(const QueuedJob& job,
                                       const std::vector<WorkerView>& workers,
                                       absl::Time now);

// How long to wait after the `failures`-th failure of the infrastructure (from
// 1): 1 s, doubling to 60 s at most.
absl::Duration BackoffAfter(int failures);

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_SCHEDULING_H_
