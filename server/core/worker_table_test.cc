#include "server/core/worker_table.h"

#include "gtest/gtest.h"

namespace condense {
namespace {

v1::Worker Worker(const std::string& name, int slots) {
  v1::Worker worker;
  worker.set_name(name);
  worker.set_slots(slots);
  return worker;
}

TEST(WorkerTableTest, StatesFollowSlotsAndSilence) {
  WorkerTable table(absl::Seconds(30));
  const absl::Time now = absl::FromUnixSeconds(1000);
  table.HeardFrom(Worker("a-idle", 1), false, now);
  table.HeardFrom(Worker("b-busy", 1), false, now);
  table.AddJob("b-busy", "j");
  table.HeardFrom(Worker("c-draining", 1), true, now);
  table.HeardFrom(Worker("d-lost", 1), false, now - absl::Seconds(30));
  const auto workers = table.List(now);
  ASSERT_EQ(workers.size(), 4u);
  EXPECT_EQ(workers[0].state(), v1::Worker::IDLE);
  EXPECT_EQ(workers[1].state(), v1::Worker::BUSY);
  EXPECT_EQ(workers[1].jobs(0), "j");
  EXPECT_EQ(workers[2].state(), v1::Worker::DRAINING);
  EXPECT_EQ(workers[3].state(), v1::Worker::LOST);
  EXPECT_EQ(table.Connected(now).size(), 3u);
  EXPECT_EQ(table.ViewOf("a-idle").free_slots, 1);
  EXPECT_EQ(table.ViewOf("b-busy").free_slots, 0);
  EXPECT_EQ(table.ViewOf("unknown").free_slots, 0);
}

TEST(WorkerTableTest, ALongLostWorkerIsForgottenUnlessItHoldsAJob) {
  WorkerTable table(absl::Seconds(30));
  const absl::Time now = absl::FromUnixSeconds(1000);
  table.HeardFrom(Worker("a", 1), false, now);
  table.HeardFrom(Worker("b", 1), false, now);
  table.AddJob("b", "j");
  table.Forget(now + absl::Seconds(30 * WorkerTable::kForgetAfter - 1));
  EXPECT_EQ(table.List(now).size(), 2u);
  table.Forget(now + absl::Seconds(30 * WorkerTable::kForgetAfter));
  ASSERT_EQ(table.List(now).size(), 1u);
  EXPECT_EQ(table.List(now)[0].name(), "b");
}

}  // namespace
}  // namespace condense
