#ifndef CONDENSE_WORKERS_AGENT_ENGINE_POOL_H_
#define CONDENSE_WORKERS_AGENT_ENGINE_POOL_H_

#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "workers/agent/engine_process.h"

namespace condense::agent {

// Engines that have loaded their libraries and wait for a job. LibTorch takes
// most of a second to start, which a job should not wait for. Thread-safe.
class EnginePool {
 public:
  struct Options {
    EngineOptions engine;
    // Where their stderr goes.
    std::string folder;
    // Engines kept ready; 0: each is started when it is asked for.
    int warm = 1;
  };
  explicit EnginePool(Options options);
  // Ends the engines that wait.
  ~EnginePool();

  // An engine that has said Ready, for `device`. INTERNAL with reason
  // ENGINE_NOT_STARTED and its last words when it ends before that.
  absl::StatusOr<std::unique_ptr<EngineProcess>> Take();
  // Starts what is missing, in the background. Called when a slot is idle.
  void Refill();
  // Engines that are ready now.
  int ready() const;

 private:
  absl::StatusOr<std::unique_ptr<EngineProcess>> StartOne();
  void Work();

  const Options options_;
  mutable absl::Mutex mu_;
  std::deque<std::unique_ptr<EngineProcess>> ready_ ABSL_GUARDED_BY(mu_);
  int wanted_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  int started_ ABSL_GUARDED_BY(mu_) = 0;
  std::thread thread_;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_ENGINE_POOL_H_
