#include "workers/agent/event_relay.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace condense::agent {
namespace {

using testing::ElementsAre;

v1::JobEvent Log(const std::string& text) {
  v1::JobEvent event;
  event.set_type("log");
  event.mutable_log()->set_message(text);
  return event;
}
v1::JobEvent ProgressAt(int64_t step) {
  v1::JobEvent event;
  event.set_type("progress");
  event.mutable_progress()->set_step(step);
  return event;
}

// A server that keeps events by index, and may be away.
struct Receiver {
  absl::Mutex mu;
  std::vector<std::string> texts;
  std::deque<absl::Status> failures;
  // Held calls wait for this.
  bool open = true;

  absl::StatusOr<int64_t> Take(int64_t first,
                               const std::vector<v1::JobEvent>& events) {
    absl::MutexLock lock(&mu);
    mu.Await(absl::Condition(&open));
    if (!failures.empty()) {
      absl::Status status = failures.front();
      failures.pop_front();
      return status;
    }
    for (size_t i = 0; i < events.size(); ++i) {
      // What it has already is ignored.
      if (first + static_cast<int64_t>(i) <
          static_cast<int64_t>(texts.size())) {
        continue;
      }
      texts.push_back(events[i].type() == "log"
                          ? events[i].log().message()
                          : std::to_string(events[i].progress().step()));
    }
    return static_cast<int64_t>(texts.size());
  }
  EventRelay::SendCall Call() {
    return [this](int64_t first, const std::vector<v1::JobEvent>& events) {
      return Take(first, events);
    };
  }
};

TEST(EventRelayTest, EveryEventArrivesOnceAndInOrder) {
  Receiver server;
  EventRelay relay(server.Call(), [] { FAIL() << "not lost"; });
  for (int i = 0; i < 1000; ++i) relay.Add(Log(std::to_string(i)));
  ASSERT_TRUE(relay.Flush(absl::Seconds(30)));
  ASSERT_EQ(server.texts.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(server.texts[i], std::to_string(i));
}

TEST(EventRelayTest, AServerThatIsAwayGetsThemLater) {
  Receiver server;
  server.failures = {absl::UnavailableError("away"),
                     absl::DeadlineExceededError("slow")};
  EventRelay relay(server.Call(), [] { FAIL() << "not lost"; });
  relay.Add(Log("a"));
  relay.Add(Log("b"));
  ASSERT_TRUE(relay.Flush(absl::Seconds(30)));
  EXPECT_THAT(server.texts, ElementsAre("a", "b"));
}

TEST(EventRelayTest, WaitingProgressIsReplacedByTheNewest) {
  Receiver server;
  server.open = false;
  EventRelay relay(server.Call(), [] {});
  relay.Add(Log("first"));
  relay.Add(Log("second"));
  for (int i = 0; i < 100; ++i) relay.Add(ProgressAt(i));
  relay.Add(Log("last"));
  {
    absl::MutexLock lock(&server.mu);
    server.open = true;
  }
  ASSERT_TRUE(relay.Flush(absl::Seconds(30)));
  // A call may have taken some before they could be replaced; never all.
  EXPECT_EQ(server.texts.front(), "first");
  EXPECT_EQ(server.texts.back(), "last");
  EXPECT_EQ(server.texts[server.texts.size() - 2], "99");
  EXPECT_LT(server.texts.size(), 10u);
}

TEST(EventRelayTest, ARefusalLosesTheLeaseOnce) {
  Receiver server;
  server.failures = {absl::FailedPreconditionError("stale epoch")};
  absl::Mutex mu;
  int lost = 0;
  EventRelay relay(server.Call(), [&] {
    absl::MutexLock lock(&mu);
    ++lost;
  });
  relay.Add(Log("a"));
  EXPECT_FALSE(relay.Flush(absl::Seconds(30)));
  relay.Add(Log("b"));
  absl::MutexLock lock(&mu);
  mu.Await(absl::Condition(
      +[](int* count) { return *count == 1; }, &lost));
  EXPECT_TRUE(server.texts.empty());
}

TEST(EventRelayTest, StoppingDoesNotWaitForAServerThatIsAway) {
  Receiver server;
  for (int i = 0; i < 1000; ++i) {
    server.failures.push_back(absl::UnavailableError("away"));
  }
  EventRelay relay(server.Call(), [] {});
  relay.Add(Log("a"));
  relay.Stop();
  EXPECT_FALSE(relay.Flush(absl::Seconds(30)));
}

}  // namespace
}  // namespace condense::agent
