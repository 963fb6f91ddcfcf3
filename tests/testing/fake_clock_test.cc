#include "tests/testing/fake_clock.h"

#include <thread>

#include "gtest/gtest.h"

namespace condense {
namespace {

TEST(FakeClockTest, ADeadlineIsReachedByAdvanceAlone) {
  FakeClock clock;
  absl::Mutex mu;
  const absl::Time deadline = clock.TimeNow() + absl::Seconds(10);
  bool never = false;
  bool held = true;
  std::thread waiter([&] {
    absl::MutexLock lock(&mu);
    held = clock.AwaitWithDeadline(&mu, absl::Condition(&never), deadline);
  });
  clock.Advance(absl::Seconds(9));
  clock.Advance(absl::Seconds(1));
  waiter.join();
  EXPECT_FALSE(held);
  EXPECT_EQ(clock.TimeNow(), deadline);
}

TEST(FakeClockTest, AConditionThatHoldsNeedsNoTime) {
  FakeClock clock;
  absl::Mutex mu;
  bool yes = true;
  absl::MutexLock lock(&mu);
  EXPECT_TRUE(clock.AwaitWithDeadline(&mu, absl::Condition(&yes),
                                      absl::InfiniteFuture()));
}

}  // namespace
}  // namespace condense
