#ifndef CONDENSE_TESTS_TESTING_FAKE_CLOCK_H_
#define CONDENSE_TESTS_TESTING_FAKE_CLOCK_H_

#include <map>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace condense {

// Time that moves only when a test says so. Thread-safe.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'000'000'000))
      : now_(start) {}

  absl::Time TimeNow() override;
  // Waits for the condition, or until Advance reaches the deadline.
  bool AwaitWithDeadline(absl::Mutex* mu, const absl::Condition& condition,
                         absl::Time deadline) override;

  // Moves time and wakes those whose deadline it reaches. Hold no mutex that
  // somebody waits with here.
  void Advance(absl::Duration by);

 private:
  absl::Mutex mu_;
  absl::Time now_ ABSL_GUARDED_BY(mu_);
  // How many wait with each mutex.
  std::map<absl::Mutex*, int> waiters_ ABSL_GUARDED_BY(mu_);
};

}  // namespace condense

#endif  // CONDENSE_TESTS_TESTING_FAKE_CLOCK_H_
