#include "server/core/scheduling.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace condense {
namespace {

using Req = v1::DeviceRequirement;

const absl::Time kNow = absl::FromUnixSeconds(1000);

QueuedJob Job(const char* name, Req::Kind kind, int64_t memory = 0,
              int priority = 0, int age_seconds = 0) {
  QueuedJob job{.name = name, .priority = priority};
  job.device.set_kind(kind);
  job.device.set_memory_bytes(memory);
  job.create_time = kNow - absl::Seconds(age_seconds);
  return job;
}

WorkerView Worker(Req::Kind kind, int64_t memory, int free_slots = 1) {
  WorkerView worker{.free_slots = free_slots};
  v1::Device device;
  device.set_kind(kind);
  device.set_memory_bytes(memory);
  worker.devices.push_back(device);
  return worker;
}

struct PickCase {
  const char* what;
  WorkerView worker;
  std::vector<QueuedJob> queue;
  const char* want;  // "" for none
};

TEST(SchedulingTest, PicksByFitThenPriorityThenAge) {
  WorkerView draining = Worker(Req::CPU, 8);
  draining.draining = true;
  QueuedJob waiting = Job("waiting", Req::ANY, 0, 9);
  waiting.not_before = kNow + absl::Seconds(1);
  QueuedJob ready = Job("ready", Req::ANY);
  ready.not_before = kNow;
  const std::vector<PickCase> cases = {
      {"an empty queue", Worker(Req::CPU, 8), {}, ""},
      {"any device will do", Worker(Req::CUDA, 8), {Job("a", Req::ANY)}, "a"},
      {"unspecified means any",
       Worker(Req::CUDA, 8),
       {Job("a", Req::KIND_UNSPECIFIED)},
       "a"},
      {"a GPU job not on a CPU",
       Worker(Req::CPU, 8),
       {Job("a", Req::CUDA)},
       ""},
      {"a CPU job not on a GPU",
       Worker(Req::CUDA, 8),
       {Job("a", Req::CPU)},
       ""},
      {"too little memory", Worker(Req::CUDA, 8), {Job("a", Req::CUDA, 9)}, ""},
      {"just enough", Worker(Req::CUDA, 8), {Job("a", Req::CUDA, 8)}, "a"},
      {"one that does not fit blocks nobody",
       Worker(Req::CPU, 8),
       {Job("gpu", Req::CUDA, 0, 5), Job("cpu", Req::CPU)},
       "cpu"},
      {"priority before age",
       Worker(Req::CPU, 8),
       {Job("old", Req::ANY, 0, 0, 100), Job("urgent", Req::ANY, 0, 1, 1)},
       "urgent"},
      {"age within one priority",
       Worker(Req::CPU, 8),
       {Job("new", Req::ANY, 0, 0, 1), Job("old", Req::ANY, 0, 0, 2)},
       "old"},
      {"no free slot", Worker(Req::CPU, 8, 0), {Job("a", Req::ANY)}, ""},
      {"a draining worker", draining, {Job("a", Req::ANY)}, ""},
      {"its backoff is not over", Worker(Req::CPU, 8), {waiting}, ""},
      {"the next one meanwhile",
       Worker(Req::CPU, 8),
       {waiting, ready},
       "ready"},
  };
  for (PickCase c : cases) {
    std::sort(c.queue.begin(), c.queue.end(), RunsBefore);
    EXPECT_EQ(PickJob(c.worker, c.queue, kNow).value_or(""), c.want) << c.what;
  }
}

TEST(SchedulingTest, SaysWhyAJobWaits) {
  const QueuedJob gpu = Job("a", Req::CUDA);
  QueuedJob delayed = gpu;
  delayed.not_before = kNow + absl::Seconds(1);
  WorkerView draining = Worker(Req::CUDA, 8);
  draining.draining = true;
  EXPECT_EQ(PendingReasonOf(gpu, {}, kNow), v1::Job::NO_MATCHING_WORKER);
  EXPECT_EQ(PendingReasonOf(gpu, {Worker(Req::CPU, 8)}, kNow),
            v1::Job::NO_MATCHING_WORKER);
  EXPECT_EQ(PendingReasonOf(gpu, {draining}, kNow),
            v1::Job::NO_MATCHING_WORKER);
  EXPECT_EQ(PendingReasonOf(gpu, {Worker(Req::CUDA, 8, 0)}, kNow),
            v1::Job::WAITING_FOR_WORKER);
  EXPECT_EQ(PendingReasonOf(delayed, {Worker(Req::CUDA, 8)}, kNow),
            v1::Job::BACKOFF);
}

TEST(SchedulingTest, BackoffDoublesUpToAMinute) {
  EXPECT_EQ(BackoffAfter(1), absl::Seconds(1));
  EXPECT_EQ(BackoffAfter(3), absl::Seconds(4));
  EXPECT_EQ(BackoffAfter(100), absl::Seconds(60));
}

}  // namespace
}  // namespace condense
