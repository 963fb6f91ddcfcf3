#ifndef CONDENSE_COMMON_CLOCK_H_
#define CONDENSE_COMMON_CLOCK_H_

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace condense {

// Time, so that tests need not wait for it. Thread-safe. The shape is that of
// absl/time/clock_interface.h (LTS 20260526 on).
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time TimeNow() = 0;
  // As Mutex::AwaitWithDeadline: true if `condition` holds on return. `mu` must
  // be held.
  virtual bool AwaitWithDeadline(absl::Mutex* mu,
                                 const absl::Condition& condition,
                                 absl::Time deadline) = 0;

  // The machine's clock; never deleted.
  static Clock* Real();
};

}  // namespace condense

#endif  // CONDENSE_COMMON_CLOCK_H_
