#include "common/retry.h"

#include <algorithm>

#include "absl/synchronization/mutex.h"

namespace condense {
namespace {
constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Seconds(2);
}  // namespace

RetryTimer::RetryTimer(Clock* clock, absl::Duration limit)
    : clock_(clock), limit_(limit) {
  Reset();
}

void RetryTimer::Reset() {
  pause_ = kFirstPause;
  since_ = clock_->TimeNow();
}

bool RetryTimer::Wait() {
  const absl::Time now = clock_->TimeNow();
  if (now - since_ >= limit_) return false;
  absl::Mutex mu;
  absl::MutexLock lock(&mu);
  const bool never = false;
  clock_->AwaitWithDeadline(&mu, absl::Condition(&never), now + pause_);
  pause_ = std::min(pause_ * 2, kLongestPause);
  return true;
}

bool IsTransient(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable;
}

}  // namespace condense
