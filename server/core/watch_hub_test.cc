#include "server/core/watch_hub.h"

#include "gtest/gtest.h"

namespace condense {
namespace {

JobChange EventsOf(const std::string& job, int64_t first, int64_t last) {
  JobChange change;
  change.record.job.set_name(job);
  for (int64_t i = first; i <= last; ++i) {
    change.events.emplace_back().set_sequence(i);
  }
  return change;
}

TEST(WatchHubTest, OnlyWatchersOfTheJobAreTold) {
  WatchHub hub;
  int a = 0;
  int b = 0;
  const int64_t id = hub.Watch("a", [&] { ++a; });
  hub.Watch("b", [&] { ++b; });
  hub.Publish({EventsOf("a", 1, 3)});
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 0);
  EXPECT_EQ(hub.watchers(), 2);
  hub.Unwatch("a", id);
  hub.Publish({EventsOf("a", 4, 4)});
  EXPECT_EQ(a, 1);
  EXPECT_EQ(hub.watchers(), 1);
}

TEST(WatchHubTest, WhatIsNotInTheWindowIsLeftToTheStore) {
  WatchHub hub;
  hub.Watch("a", [] {});
  EXPECT_TRUE(hub.Read("a", 1, 10).ask_store);
  EXPECT_TRUE(hub.Read("unwatched", 1, 10).ask_store);
  const auto many = static_cast<int64_t>(WatchHub::kWindow) + 5;
  hub.Publish({EventsOf("a", 1, many)});
  EXPECT_TRUE(hub.Read("a", 5, 10).ask_store);
  const WatchHub::Recent recent = hub.Read("a", 6, 3);
  EXPECT_FALSE(recent.ask_store);
  ASSERT_EQ(recent.events.size(), 3u);
  EXPECT_EQ(recent.events[0]->sequence(), 6);
  const WatchHub::Recent newer = hub.Read("a", many + 1, 3);
  EXPECT_FALSE(newer.ask_store);
  EXPECT_TRUE(newer.events.empty());
}

TEST(WatchHubTest, StoppingTellsEveryWatcher) {
  WatchHub hub;
  int told = 0;
  hub.Watch("a", [&] { ++told; });
  hub.Watch("b", [&] { ++told; });
  hub.Stop();
  EXPECT_EQ(told, 2);
  EXPECT_TRUE(hub.stopping());
}

}  // namespace
}  // namespace condense
