#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_CONTROL_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_CONTROL_H_

#include <atomic>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace condense::pipeline {

// What the engine was asked to do while it works. Written by the thread that
// reads commands (or a signal handler), read between training steps.
// Thread-safe; the two requests are safe to make from a signal handler.
class Control {
 public:
  // Later requests win over earlier ones only in this order.
  enum class Request { kNone = 0, kCheckpointAndStop = 1, kCancel = 2 };

  void Ask(Request request) {
    int seen = request_.load();
    const int wanted = static_cast<int>(request);
    while (seen < wanted && !request_.compare_exchange_weak(seen, wanted)) {
    }
  }
  Request request() const { return static_cast<Request>(request_.load()); }

  // Waits for the agent's Start. CANCELLED: the command pipe ended or Cancel
  // came first.
  absl::StatusOr<std::string> AwaitStart();

  // Reads commands from `fd` until it ends, then asks for kCancel: without its
  // agent an engine has no work. Runs on a thread of its own.
  void ReadCommands(int fd);

 private:
  std::atomic<int> request_{0};
  absl::Mutex mu_;
  std::string job_dir_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_CONTROL_H_
