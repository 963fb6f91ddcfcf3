#include "common/clock.h"

#include "absl/time/clock.h"

namespace condense {
namespace {

class RealClock : public Clock {
 public:
  absl::Time TimeNow() override { return absl::Now(); }
  bool AwaitWithDeadline(absl::Mutex* mu, const absl::Condition& condition,
                         absl::Time deadline) override {
    return mu->AwaitWithDeadline(condition, deadline);
  }
};

}  // namespace

Clock* Clock::Real() {
  static auto* clock = new RealClock();
  return clock;
}

}  // namespace condense
