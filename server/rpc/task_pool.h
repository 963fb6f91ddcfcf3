#ifndef CONDENSE_SERVER_RPC_TASK_POOL_H_
#define CONDENSE_SERVER_RPC_TASK_POOL_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace condense {

// A few threads for work that touches the disk, so that gRPC's own never wait.
// Each call has at most one task here, which bounds the queue. Thread-safe.
class TaskPool {
 public:
  explicit TaskPool(int threads);
  // Runs what was posted, then ends.
  ~TaskPool();
  TaskPool(const TaskPool&) = delete;
  TaskPool& operator=(const TaskPool&) = delete;

  void Post(std::function<void()> task);

 private:
  void Work();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return stopping_ || !tasks_.empty();
  }

  absl::Mutex mu_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_TASK_POOL_H_
