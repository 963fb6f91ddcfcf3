#ifndef CONDENSE_SERVER_CORE_WORKER_TABLE_H_
#define CONDENSE_SERVER_CORE_WORKER_TABLE_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "condense/v1/worker_service.pb.h"
#include "server/core/scheduling.h"

namespace condense {

// The workers that the server has heard from, and the jobs that each holds.
// Nothing of it is stored: workers report again after a restart. Not
// thread-safe.
//
// A worker is connected from its Sync until it has been silent for a lease;
// then it is LOST, and after kForgetAfter leases without a job forgotten.
class WorkerTable {
 public:
  static constexpr int kForgetAfter = 20;

  explicit WorkerTable(absl::Duration lease) : lease_(lease) {}

  // The worker said what it is.
  void HeardFrom(const v1::Worker& worker, bool draining, absl::Time now);
  // The worker holds the job from now on, or no longer.
  void AddJob(const std::string& worker, const std::string& job);
  void RemoveJob(const std::string& worker, const std::string& job);
  // The jobs it holds, by name.
  const std::set<std::string>& JobsOf(const std::string& worker) const;

  // For PickJob; no free slot if the worker is unknown.
  WorkerView ViewOf(const std::string& worker) const;
  // Of all connected workers.
  std::vector<WorkerView> Connected(absl::Time now) const;
  // All, by name, with their states.
  std::vector<v1::Worker> List(absl::Time now) const;
  // Drops workers that have long been silent and hold nothing.
  void Forget(absl::Time now);
  void Clear() { entries_.clear(); }

 private:
  struct Entry {
    v1::Worker worker;
    bool draining = false;
    absl::Time last_seen = absl::InfinitePast();
    std::set<std::string> jobs;
  };

  WorkerView View(const Entry& entry) const;

  const absl::Duration lease_;
  std::map<std::string, Entry> entries_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_WORKER_TABLE_H_
