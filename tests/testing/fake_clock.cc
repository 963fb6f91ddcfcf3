#include "tests/testing/fake_clock.h"

#include <vector>

namespace condense {

absl::Time FakeClock::TimeNow() {
  absl::MutexLock lock(&mu_);
  return now_;
}

bool FakeClock::AwaitWithDeadline(absl::Mutex* mu,
                                  const absl::Condition& condition,
                                  absl::Time deadline) {
  {
    absl::MutexLock lock(&mu_);
    ++waiters_[mu];
  }
  auto ready = [&] { return condition.Eval() || TimeNow() >= deadline; };
  mu->Await(absl::Condition(&ready));
  {
    absl::MutexLock lock(&mu_);
    if (--waiters_[mu] == 0) waiters_.erase(mu);
  }
  return condition.Eval();
}

void FakeClock::Advance(absl::Duration by) {
  std::vector<absl::Mutex*> waiting;
  {
    absl::MutexLock lock(&mu_);
    now_ += by;
    for (const auto& [mu, count] : waiters_) waiting.push_back(mu);
  }
  // Conditions are looked at again when their mutex is released.
  for (absl::Mutex* mu : waiting) absl::MutexLock lock(mu);
}

}  // namespace condense
