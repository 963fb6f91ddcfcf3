#include "server/core/worker_table.h"

#include <algorithm>

#include "server/core/job_record.h"

namespace condense {

void WorkerTable::HeardFrom(const v1::Worker& worker, bool draining,
                            absl::Time now) {
  Entry& entry = entries_[worker.name()];
  entry.worker = worker;
  entry.draining = draining;
  entry.last_seen = now;
}

void WorkerTable::AddJob(const std::string& worker, const std::string& job) {
  Entry& entry = entries_[worker];
  entry.worker.set_name(worker);
  entry.jobs.insert(job);
}

void WorkerTable::RemoveJob(const std::string& worker, const std::string& job) {
  auto it = entries_.find(worker);
  if (it != entries_.end()) it->second.jobs.erase(job);
}

const std::set<std::string>& WorkerTable::JobsOf(
    const std::string& worker) const {
  static const auto* none = new std::set<std::string>();
  auto it = entries_.find(worker);
  return it == entries_.end() ? *none : it->second.jobs;
}

WorkerView WorkerTable::View(const Entry& entry) const {
  return {
      .devices = {entry.worker.devices().begin(), entry.worker.devices().end()},
      .free_slots = entry.worker.slots() - static_cast<int>(entry.jobs.size()),
      .draining = entry.draining};
}

WorkerView WorkerTable::ViewOf(const std::string& worker) const {
  auto it = entries_.find(worker);
  return it == entries_.end() ? WorkerView() : View(it->second);
}

std::vector<WorkerView> WorkerTable::Connected(absl::Time now) const {
  std::vector<WorkerView> views;
  for (const auto& [name, entry] : entries_) {
    if (entry.last_seen + lease_ > now) views.push_back(View(entry));
  }
  return views;
}

std::vector<v1::Worker> WorkerTable::List(absl::Time now) const {
  std::vector<v1::Worker> workers;
  for (const auto& [name, entry] : entries_) {
    v1::Worker worker = entry.worker;
    if (entry.last_seen + lease_ <= now) {
      worker.set_state(v1::Worker::LOST);
    } else if (entry.draining) {
      worker.set_state(v1::Worker::DRAINING);
    } else {
      worker.set_state(static_cast<int>(entry.jobs.size()) < worker.slots()
                           ? v1::Worker::IDLE
                           : v1::Worker::BUSY);
    }
    if (entry.last_seen != absl::InfinitePast()) {
      *worker.mutable_last_seen() = ToProto(entry.last_seen);
    }
    worker.clear_jobs();
    for (const std::string& job : entry.jobs) worker.add_jobs(job);
    workers.push_back(std::move(worker));
  }
  return workers;
}

void WorkerTable::Forget(absl::Time now) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    const Entry& entry = it->second;
    const bool gone =
        entry.jobs.empty() && entry.last_seen + kForgetAfter * lease_ <= now;
    it = gone ? entries_.erase(it) : std::next(it);
  }
}

}  // namespace condense
