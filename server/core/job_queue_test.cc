#include "server/core/job_queue.h"

#include "gtest/gtest.h"

namespace condense {
namespace {

QueuedJob Job(const std::string& name, int priority, int created) {
  QueuedJob job{.name = name, .priority = priority};
  job.create_time = absl::FromUnixSeconds(created);
  return job;
}

TEST(JobQueueTest, PositionsFollowPriorityThenAge) {
  JobQueue queue;
  queue.Assign({Job("new", 0, 20), Job("old", 0, 10)});
  queue.Add(Job("urgent", 5, 30));
  queue.Add(Job("middle", 0, 15));
  EXPECT_EQ(queue.Position("urgent"), 1);
  EXPECT_EQ(queue.Position("old"), 2);
  EXPECT_EQ(queue.Position("middle"), 3);
  EXPECT_EQ(queue.Position("new"), 4);
  EXPECT_TRUE(queue.Remove("old"));
  EXPECT_EQ(queue.Position("middle"), 2);
}

TEST(JobQueueTest, WhatIsNotQueuedHasNoPosition) {
  JobQueue queue;
  EXPECT_EQ(queue.Position("a"), 0);
  EXPECT_EQ(queue.Find("a"), nullptr);
  EXPECT_FALSE(queue.Remove("a"));
}

}  // namespace
}  // namespace condense
