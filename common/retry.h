#ifndef CONDENSE_COMMON_RETRY_H_
#define CONDENSE_COMMON_RETRY_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace condense {

// Waits between tries, each twice as long as the one before (0.1 s to 2 s),
// until no try has gone well for `limit`. Not thread-safe.
class RetryTimer {
 public:
  // `clock` must outlive the timer.
  RetryTimer(Clock* clock, absl::Duration limit);

  // Call when something went well: the limit counts anew from here.
  void Reset();
  // Waits. false, at once: the limit has passed.
  bool Wait();

 private:
  Clock* clock_;
  absl::Duration limit_;
  absl::Duration pause_;
  absl::Time since_;
};

// True for what may go well on another try: the server is away for now.
bool IsTransient(const absl::Status& status);

}  // namespace condense

#endif  // CONDENSE_COMMON_RETRY_H_
