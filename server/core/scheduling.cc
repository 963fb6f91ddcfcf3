#include "server/core/scheduling.h"

#include <algorithm>
#include <tuple>

namespace condense {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Seconds(1);
constexpr absl::Duration kLongestBackoff = absl::Seconds(60);

}  // namespace

bool RunsBefore(const QueuedJob& a, const QueuedJob& b) {
  return std::tie(b.priority, a.create_time, a.name) <
         std::tie(a.priority, b.create_time, b.name);
}

bool Fits(const v1::DeviceRequirement& wanted, const WorkerView& worker) {
  const bool any = wanted.kind() == v1::DeviceRequirement::KIND_UNSPECIFIED ||
                   wanted.kind() == v1::DeviceRequirement::ANY;
  return std::any_of(worker.devices.begin(), worker.devices.end(),
                     [&](const v1::Device& device) {
                       return (any || device.kind() == wanted.kind()) &&
                              device.memory_bytes() >= wanted.memory_bytes();
                     });
}

std::optional<std::string> PickJob(const WorkerView& worker,
                                   const std::vector<QueuedJob>& queue,
                                   absl::Time now) {
  if (worker.free_slots <= 0 || worker.draining) return std::nullopt;
  for (const QueuedJob& job : queue) {
    if (job.not_before <= now && Fits(job.device, worker)) return job.name;
  }
  return std::nullopt;
}

v1::Job::PendingReason PendingReasonOf(const QueuedJob& job,
                                       const std::vector<WorkerView>& workers,
                                       absl::Time now) {
  const bool fits = std::any_of(
      workers.begin(), workers.end(),
      [&](const WorkerView& w) { return !w.draining && Fits(job.device, w); });
  if (!fits) return v1::Job::NO_MATCHING_WORKER;
  if (job.not_before > now) return v1::Job::BACKOFF;
  return v1::Job::WAITING_FOR_WORKER;
}

absl::Duration BackoffAfter(int failures) {
  absl::Duration wait = kFirstBackoff;
  for (int i = 1; i < failures && wait < kLongestBackoff; ++i) wait *= 2;
  return std::min(wait, kLongestBackoff);
}

}  // namespace condense
