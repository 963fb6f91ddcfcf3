#ifndef CONDENSE_WORKERS_AGENT_ENGINE_PROCESS_H_
#define CONDENSE_WORKERS_AGENT_ENGINE_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/framing.h"
#include "condense/v1/engine.pb.h"

namespace condense::agent {

struct EngineOptions {
  // condense-engine.
  std::string binary;
  // "cpu", "cuda:0".
  std::string device = "cpu";
  // Intra-op threads; 0: the engine's default.
  int threads = 0;
  // What it writes to stderr goes to this file.
  std::string stderr_path;
};

// One condense-engine as a child process in a process group of its own. It has
// the pipes that engine.proto describes and no other descriptor. Read from one
// thread; the other calls are thread-safe.
class EngineProcess {
 public:
  // posix_spawn; INTERNAL with reason ENGINE_NOT_STARTED.
  static absl::StatusOr<std::unique_ptr<EngineProcess>> Start(
      const EngineOptions& options);
  // Kills the process group if it is still there.
  ~EngineProcess();
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  // The next message; nullopt when the engine has closed its pipe.
  absl::StatusOr<std::optional<v1::EngineEvent>> Read();
  // As Read, but kills an engine that says nothing for `timeout`.
  absl::StatusOr<std::optional<v1::EngineEvent>> ReadWithin(
      absl::Duration timeout);
  // Errors are those of a pipe whose reader is gone.
  absl::Status Send(const v1::EngineCommand& command);
  // To the process group. Does nothing once the process is reaped.
  void Kill(int signal);
  // Waits for its end and says how: "exit code 1", "signal 9 (Killed)". Later
  // calls give the same answer.
  std::string Wait();
  // False once it has ended, reaped or not.
  bool alive() const;
  // The signal that ended it; 0: none. After Wait.
  int end_signal() const;
  // The last `bytes` of its stderr.
  std::string StderrTail(size_t bytes) const;

  pid_t pid() const { return pid_; }

 private:
  EngineProcess(pid_t pid, int event_fd, int command_fd, std::string stderr)
      : pid_(pid),
        event_fd_(event_fd),
        command_fd_(command_fd),
        stderr_path_(std::move(stderr)),
        reader_(event_fd) {}

  const pid_t pid_;
  const int event_fd_;
  const int command_fd_;
  const std::string stderr_path_;
  MessageReader reader_;
  mutable absl::Mutex mu_;
  // The process number may be given to another one after this.
  bool reaped_ ABSL_GUARDED_BY(mu_) = false;
  int wait_status_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_ENGINE_PROCESS_H_
