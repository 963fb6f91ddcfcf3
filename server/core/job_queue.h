#ifndef CONDENSE_SERVER_CORE_JOB_QUEUE_H_
#define CONDENSE_SERVER_CORE_JOB_QUEUE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "server/core/scheduling.h"

namespace condense {

// Queued jobs in the order of RunsBefore. Not thread-safe. Adding at the end
// and taking from the front, the usual, touch few entries; Position is a binary
// search.
class JobQueue {
 public:
  // Takes all of them instead of what is here.
  void Assign(std::vector<QueuedJob> jobs);
  // The job must not be in the queue.
  void Add(QueuedJob job);
  // false: it was not in the queue.
  bool Remove(absl::string_view name);
  // From 1; 0: not in the queue.
  int Position(absl::string_view name) const;
  const QueuedJob* Find(absl::string_view name) const;
  const std::vector<QueuedJob>& jobs() const { return jobs_; }

 private:
  struct Rank {
    int priority;
    absl::Time create_time;
  };
  size_t IndexOf(absl::string_view name) const;

  std::vector<QueuedJob> jobs_;
  absl::flat_hash_map<std::string, Rank> ranks_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_JOB_QUEUE_H_
