#ifndef CONDENSE_SERVER_CORE_WATCH_HUB_H_
#define CONDENSE_SERVER_CORE_WATCH_HUB_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "condense/v1/event.pb.h"
#include "server/core/job_store.h"

namespace condense {

// Tells watchers that a job has new events, and keeps the newest of each
// watched job in memory, so that many watchers of one job do not read the store
// for each event. A slow watcher falls out of that window and reads the store.
// Thread-safe.
class WatchHub {
 public:
  static constexpr size_t kWindow = 512;
  // Shared by all who send it.
  using Event = std::shared_ptr<const v1::JobEvent>;

  struct Recent {
    // From the wanted sequence on; empty: nothing newer is known here.
    std::vector<Event> events;
    // The wanted event may be older than the window: ask the store.
    bool ask_store = false;
  };

  // `notify` is called after new events of the job are stored, from any thread
  // and without a lock, and may still be called while Unwatch runs.
  int64_t Watch(const std::string& job, std::function<void()> notify);
  void Unwatch(const std::string& job, int64_t id);

  // At most `limit` events from the sequence number on.
  Recent Read(const std::string& job, int64_t from_sequence, size_t limit);

  // These are stored now.
  void Publish(const std::vector<JobChange>& changes);

  // Notifies every watcher; from then on stopping() is true.
  void Stop();
  bool stopping() const;
  int64_t watchers() const;

 private:
  struct Topic {
    // Their sequence numbers follow each other.
    std::deque<Event> window;
    std::map<int64_t, std::function<void()>> watchers;
  };

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Topic> topics_ ABSL_GUARDED_BY(mu_);
  int64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  int64_t watchers_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_WATCH_HUB_H_
