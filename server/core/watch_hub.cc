#include "server/core/watch_hub.h"

#include <utility>

namespace condense {

int64_t WatchHub::Watch(const std::string& job, std::function<void()> notify) {
  absl::MutexLock lock(&mu_);
  const int64_t id = next_id_++;
  topics_[job].watchers[id] = std::move(notify);
  ++watchers_;
  return id;
}

void WatchHub::Unwatch(const std::string& job, int64_t id) {
  absl::MutexLock lock(&mu_);
  auto topic = topics_.find(job);
  if (topic == topics_.end()) return;
  watchers_ -= static_cast<int64_t>(topic->second.watchers.erase(id));
  if (topic->second.watchers.empty()) topics_.erase(topic);
}

WatchHub::Recent WatchHub::Read(const std::string& job, int64_t from_sequence,
                                size_t limit) {
  absl::MutexLock lock(&mu_);
  auto topic = topics_.find(job);
  if (topic == topics_.end() || topic->second.window.empty()) {
    return {.ask_store = true};
  }
  const std::deque<Event>& window = topic->second.window;
  const int64_t first = window.front()->sequence();
  if (from_sequence < first) return {.ask_store = true};
  Recent recent;
  for (size_t i = static_cast<size_t>(from_sequence - first);
       i < window.size() && recent.events.size() < limit; ++i) {
    recent.events.push_back(window[i]);
  }
  return recent;
}

void WatchHub::Publish(const std::vector<JobChange>& changes) {
  std::vector<std::function<void()>> calls;
  {
    absl::MutexLock lock(&mu_);
    for (const JobChange& change : changes) {
      auto found = topics_.find(change.record.job.name());
      if (found == topics_.end() || change.events.empty()) continue;
      Topic& topic = found->second;
      for (const v1::JobEvent& event : change.events) {
        topic.window.push_back(std::make_shared<const v1::JobEvent>(event));
      }
      while (topic.window.size() > kWindow) topic.window.pop_front();
      for (const auto& [id, notify] : topic.watchers) calls.push_back(notify);
    }
  }
  for (const auto& call : calls) call();
}

void WatchHub::Stop() {
  std::vector<std::function<void()>> calls;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    for (const auto& [job, topic] : topics_) {
      for (const auto& [id, notify] : topic.watchers) calls.push_back(notify);
    }
  }
  for (const auto& call : calls) call();
}

bool WatchHub::stopping() const {
  absl::MutexLock lock(&mu_);
  return stopping_;
}

int64_t WatchHub::watchers() const {
  absl::MutexLock lock(&mu_);
  return watchers_;
}

}  // namespace condense
