#ifndef CONDENSE_TESTS_TESTING_SKIPPING_CLOCK_H_
#define CONDENSE_TESTS_TESTING_SKIPPING_CLOCK_H_

#include "absl/synchronization/mutex.h"
#include "common/clock.h"

namespace condense {

// A clock for code that waits between tries: every wait ends at once, and the
// time is its deadline then. Thread-safe.
class SkippingClock : public Clock {
 public:
  absl::Time TimeNow() override {
    absl::MutexLock lock(&mu_);
    return now_;
  }
  bool AwaitWithDeadline(absl::Mutex*, const absl::Condition& condition,
                         absl::Time deadline) override {
    if (condition.Eval()) return true;
    absl::MutexLock lock(&mu_);
    if (deadline > now_) now_ = deadline;
    return false;
  }

 private:
  absl::Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_) = absl::FromUnixSeconds(1000);
};

}  // namespace condense

#endif  // CONDENSE_TESTS_TESTING_SKIPPING_CLOCK_H_
