#ifndef CONDENSE_WORKERS_AGENT_EVENT_RELAY_H_
#define CONDENSE_WORKERS_AGENT_EVENT_RELAY_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "condense/v1/event.pb.h"

namespace condense::agent {

// Sends the events of one lease to the server, in order and each once, from a
// thread of its own; keeps them until the server has said that it has them.
// While one call is under way others gather, so a busy job costs few calls. A
// progress event that waits is replaced by the next one. Thread-safe.
class EventRelay {
 public:
  // Sends events from index `first` on; the answer is the index that the server
  // wants next.
  using SendCall = std::function<absl::StatusOr<int64_t>(
      int64_t first, const std::vector<v1::JobEvent>& events)>;
  // `lost` is called once, from the relay's thread, when the server does not
  // take this lease's events any more.
  EventRelay(SendCall send, std::function<void()> lost);
  // Drops what is not sent.
  ~EventRelay();

  void Add(v1::JobEvent event);
  // Waits until the server has everything; false: lost, or `timeout` passed.
  bool Flush(absl::Duration timeout);
  // Sends nothing more.
  void Stop();

 private:
  void Work();
  std::vector<v1::JobEvent> Batch() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Acknowledge(int64_t next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const SendCall send_;
  const std::function<void()> lost_call_;
  absl::Mutex mu_;
  std::deque<v1::JobEvent> waiting_ ABSL_GUARDED_BY(mu_);
  // The index of waiting_.front().
  int64_t first_ ABSL_GUARDED_BY(mu_) = 0;
  // How many of waiting_ a call under way has.
  size_t in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  bool lost_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_EVENT_RELAY_H_
