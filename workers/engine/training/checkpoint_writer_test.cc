#include "workers/engine/training/checkpoint_writer.h"

#include <atomic>
#include <filesystem>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace condense::training {
namespace {

const Fingerprint kJob = {{"job", "1"}};

Checkpoint Of(const torch::Tensor& tensor, int64_t step) {
  return {.fingerprint = kJob, .step = step, .tensors = {{"w", tensor}}};
}

TEST(CheckpointWriterTest, WhatIsWrittenIsWhatItWasWhenItWasSubmitted) {
  TempDir dir;
  CheckpointWriter writer;
  torch::Tensor w =
      torch::ones({3, 2, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  for (int64_t step = 1; step <= 3; ++step) {
    std::atomic<bool> written = false;
    const std::string path = dir.path() + "/" + std::to_string(step);
    ASSERT_TRUE(writer.Submit(path, Of(w, step), [&] { written = true; }).ok());
    w += 1;
    ASSERT_TRUE(writer.Flush().ok());
    EXPECT_TRUE(written);
    const auto read = ReadCheckpoint(path, kJob);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->step, step);
    EXPECT_TRUE(torch::equal(read->tensors.at("w"),
                             torch::full({3, 2, 2, 2}, double(step))));
  }
}

TEST(CheckpointWriterTest, TheCallerDoesNotWaitForTheWrite) {
  TempDir dir;
  CheckpointWriter writer;
  absl::Notification go_on;
  std::atomic<bool> ended = false;
  // The write cannot end before the caller has come back.
  ASSERT_TRUE(writer
                  .Submit(dir.path() + "/a", Of(torch::ones({4}), 1),
                          [&] {
                            go_on.WaitForNotification();
                            ended = true;
                          })
                  .ok());
  EXPECT_FALSE(ended);
  go_on.Notify();
  // The next one waits: there is one copy in memory.
  ASSERT_TRUE(
      writer.Submit(dir.path() + "/b", Of(torch::ones({4}), 2), nullptr).ok());
  EXPECT_TRUE(ended);
  EXPECT_TRUE(writer.Flush().ok());
}

TEST(CheckpointWriterTest, AFailedWriteIsTheNextCallsErrorOnce) {
  TempDir dir;
  CheckpointWriter writer;
  const torch::Tensor w = torch::ones({4});
  bool written = false;
  ASSERT_TRUE(
      writer.Submit(dir.path() + "/none/a", Of(w, 1), [&] { written = true; })
          .ok());
  EXPECT_FALSE(writer.Submit(dir.path() + "/b", Of(w, 2), nullptr).ok());
  EXPECT_FALSE(written);
  EXPECT_FALSE(std::filesystem::exists(dir.path() + "/b"));
  EXPECT_TRUE(writer.Submit(dir.path() + "/c", Of(w, 3), nullptr).ok());
  EXPECT_TRUE(writer.Flush().ok());
  EXPECT_EQ(ReadCheckpoint(dir.path() + "/c", kJob)->step, 3);
}

TEST(CheckpointWriterTest, ForgetsWhatTheNextCheckpointLacks) {
  TempDir dir;
  CheckpointWriter writer;
  Checkpoint two = Of(torch::ones({2}), 1);
  two.tensors["gone"] = torch::ones({2});
  ASSERT_TRUE(writer.Submit(dir.path() + "/a", two, nullptr).ok());
  ASSERT_TRUE(
      writer.Submit(dir.path() + "/b", Of(torch::ones({5}), 2), nullptr).ok());
  ASSERT_TRUE(writer.Flush().ok());
  const auto read = ReadCheckpoint(dir.path() + "/b", kJob);
  EXPECT_EQ(read->tensors.size(), 1u);
  EXPECT_EQ(read->tensors.at("w").numel(), 5);
}

}  // namespace
}  // namespace condense::training
