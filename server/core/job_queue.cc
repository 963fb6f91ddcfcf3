#include "server/core/job_queue.h"

#include <algorithm>
#include <utility>

#include "common/log.h"

namespace condense {

void JobQueue::Assign(std::vector<QueuedJob> jobs) {
  jobs_ = std::move(jobs);
  std::sort(jobs_.begin(), jobs_.end(), RunsBefore);
  ranks_.clear();
  for (const QueuedJob& job : jobs_) {
    ranks_[job.name] = {job.priority, job.create_time};
  }
}

void JobQueue::Add(QueuedJob job) {
  const bool is_new =
      ranks_.try_emplace(job.name, Rank{job.priority, job.create_time}).second;
  CONDENSE_CHECK(is_new, job.name);
  auto at = std::upper_bound(jobs_.begin(), jobs_.end(), job, RunsBefore);
  jobs_.insert(at, std::move(job));
}

size_t JobQueue::IndexOf(absl::string_view name) const {
  auto rank = ranks_.find(name);
  if (rank == ranks_.end()) return jobs_.size();
  QueuedJob key{.name = std::string(name), .priority = rank->second.priority};
  key.create_time = rank->second.create_time;
  return std::lower_bound(jobs_.begin(), jobs_.end(), key, RunsBefore) -
         jobs_.begin();
}

bool JobQueue::Remove(absl::string_view name) {
  const size_t index = IndexOf(name);
  if (index == jobs_.size()) return false;
  jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(index));
  ranks_.erase(name);
  return true;
}

int JobQueue::Position(absl::string_view name) const {
  const size_t index = IndexOf(name);
  return index == jobs_.size() ? 0 : static_cast<int>(index) + 1;
}

const QueuedJob* JobQueue::Find(absl::string_view name) const {
  const size_t index = IndexOf(name);
  return index == jobs_.size() ? nullptr : &jobs_[index];
}

}  // namespace condense
