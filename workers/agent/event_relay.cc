#include "workers/agent/event_relay.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/log.h"

namespace condense::agent {
namespace {

constexpr size_t kMostEvents = 256;
constexpr absl::Duration kFirstPause = absl::Milliseconds(50);
constexpr absl::Duration kLongestPause = absl::Seconds(2);

bool MayGoWellLater(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status) || absl::IsInternal(status) ||
         absl::IsResourceExhausted(status);
}

}  // namespace

EventRelay::EventRelay(SendCall send, std::function<void()> lost)
    : send_(std::move(send)), lost_call_(std::move(lost)) {
  thread_ = std::thread([this] { Work(); });
}

EventRelay::~EventRelay() {
  Stop();
  thread_.join();
}

void EventRelay::Stop() {
  absl::MutexLock lock(&mu_);
  stopping_ = true;
}

void EventRelay::Add(v1::JobEvent event) {
  absl::MutexLock lock(&mu_);
  if (stopping_ || lost_) return;
  if (event.type() == "progress" && waiting_.size() > in_flight_ &&
      waiting_.back().type() == "progress") {
    waiting_.back() = std::move(event);
    return;
  }
  waiting_.push_back(std::move(event));
}

bool EventRelay::Flush(absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(
      absl::Condition(
          +[](EventRelay* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
            return self->waiting_.empty() || self->lost_ || self->stopping_;
          },
          this),
      timeout);
  return waiting_.empty() && !lost_;
}

std::vector<v1::JobEvent> EventRelay::Batch() const {
  const size_t count = std::min(waiting_.size(), kMostEvents);
  return {waiting_.begin(), waiting_.begin() + static_cast<long>(count)};
}

void EventRelay::Acknowledge(int64_t next) {
  while (first_ < next && !waiting_.empty()) {
    waiting_.pop_front();
    ++first_;
  }
}

void EventRelay::Work() {
  absl::Duration pause = kFirstPause;
  for (;;) {
    std::vector<v1::JobEvent> batch;
    int64_t first = 0;
    {
      absl::MutexLock lock(&mu_);
      mu_.Await(absl::Condition(
          +[](EventRelay* self) ABSL_EXCLUSIVE_LOCKS_REQUIRED(self->mu_) {
            return self->stopping_ || !self->waiting_.empty();
          },
          this));
      if (stopping_) return;
      batch = Batch();
      in_flight_ = batch.size();
      first = first_;
    }
    const absl::StatusOr<int64_t> next = send_(first, batch);
    bool lost = false;
    {
      absl::MutexLock lock(&mu_);
      in_flight_ = 0;
      if (next.ok()) {
        Acknowledge(*next);
        pause = kFirstPause;
      } else if (!MayGoWellLater(next.status())) {
        CONDENSE_LOG(kWarning, "events are refused: ", next.status().message());
        lost = lost_ = true;
        waiting_.clear();
      } else {
        mu_.AwaitWithTimeout(absl::Condition(&stopping_), pause);
        pause = std::min(pause * 2, kLongestPause);
      }
      if (stopping_) return;
    }
    if (lost) {
      lost_call_();
      return;
    }
  }
}

}  // namespace condense::agent
