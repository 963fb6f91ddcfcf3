#include "workers/engine/training/checkpoint.h"

#include <sys/resource.h>

#include <csignal>

#include "common/error.h"
#include "common/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace condense::training {
namespace {

const Fingerprint kJob = {{"model", "sha256:abc"}, {"threads", "2"}};

Checkpoint Example() {
  Checkpoint checkpoint;
  checkpoint.fingerprint = kJob;
  checkpoint.step = 41;
  checkpoint.blobs = {{"graph", absl::Cord(std::string("a\0b", 3))},
                      {"rows", absl::Cord()}};
  checkpoint.tensors = {
      {"parameter/w", torch::arange(6, torch::kFloat32).view({2, 3}) / 7},
      {"parameter/columns", torch::arange(6, torch::kFloat32).view({2, 3}).t()},
      {"steps", torch::tensor(int64_t{5000000000}, torch::kInt64)},
      {"zero_point", torch::tensor({-3, 4}, torch::kInt32)},
      {"mask", torch::tensor({true, false, true})},
      {"empty", torch::zeros({0, 4})},
      {"scale", torch::tensor(0.1, torch::kFloat64)}};
  return checkpoint;
}

void ExpectReason(const std::string& path, absl::StatusCode code,
                  const std::string& reason) {
  const auto read = ReadCheckpoint(path, kJob);
  EXPECT_EQ(read.status().code(), code) << read.status();
  EXPECT_EQ(ErrorReason(read.status()), reason);
}

TEST(CheckpointTest, ComesBackAsItWasWritten) {
  TempDir dir;
  const std::string path = dir.path() + "/checkpoint";
  const Checkpoint written = Example();
  ASSERT_TRUE(WriteCheckpoint(path, written).ok());
  auto read = ReadCheckpoint(path, kJob);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->fingerprint, written.fingerprint);
  EXPECT_EQ(read->step, 41);
  EXPECT_EQ(read->blobs, written.blobs);
  ASSERT_EQ(read->tensors.size(), written.tensors.size());
  for (const auto& [name, tensor] : written.tensors) {
    EXPECT_EQ(read->tensors[name].dtype(), tensor.dtype()) << name;
    EXPECT_EQ(read->tensors[name].sizes(), tensor.sizes()) << name;
    EXPECT_TRUE(torch::equal(read->tensors[name], tensor)) << name;
  }
}

TEST(CheckpointTest, TheSameContentIsTheSameFile) {
  TempDir dir;
  ASSERT_TRUE(WriteCheckpoint(dir.path() + "/a", Example()).ok());
  ASSERT_TRUE(WriteCheckpoint(dir.path() + "/b", Example()).ok());
  EXPECT_EQ(*ReadFile(dir.path() + "/a"), *ReadFile(dir.path() + "/b"));
}

TEST(CheckpointTest, AnyChangedByteIsDataLoss) {
  TempDir dir;
  const std::string path = dir.path() + "/checkpoint";
  ASSERT_TRUE(WriteCheckpoint(path, Example()).ok());
  const std::string whole = *ReadFile(path);
  for (size_t at = 0; at < whole.size(); at += 13) {
    std::string changed = whole;
    changed[at] ^= 0x40;
    ASSERT_TRUE(WriteFileAtomically(path, changed).ok());
    ExpectReason(path, absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT");
  }
}

TEST(CheckpointTest, AHalfWrittenFileIsDataLoss) {
  TempDir dir;
  const std::string path = dir.path() + "/checkpoint";
  ASSERT_TRUE(WriteCheckpoint(path, Example()).ok());
  const std::string whole = *ReadFile(path);
  for (size_t size : {size_t{0}, size_t{5}, size_t{79}, size_t{80},
                      whole.size() / 2, whole.size() - 1}) {
    ASSERT_TRUE(WriteFileAtomically(path, whole.substr(0, size)).ok());
    ExpectReason(path, absl::StatusCode::kDataLoss, "CHECKPOINT_CORRUPT");
  }
}

TEST(CheckpointTest, OneOfAnotherJobIsRefusedAndSaysWhatDiffers) {
  TempDir dir;
  const std::string path = dir.path() + "/checkpoint";
  Checkpoint other = Example();
  other.fingerprint = {{"model", "sha256:def"}, {"threads", "2"}, {"x", "1"}};
  ASSERT_TRUE(WriteCheckpoint(path, other).ok());
  ExpectReason(path, absl::StatusCode::kFailedPrecondition,
               "CHECKPOINT_MISMATCH");
  EXPECT_THAT(std::string(ReadCheckpoint(path, kJob).status().message()),
              testing::EndsWith("different: model, x"));
}

TEST(CheckpointTest, AMissingFileIsNotFound) {
  TempDir dir;
  ExpectReason(dir.path() + "/none", absl::StatusCode::kNotFound,
               "FILE_NOT_FOUND");
}

TEST(CheckpointTest, TheOldFileSurvivesAWriteThatFails) {
  TempDir dir;
  const std::string path = dir.path() + "/checkpoint";
  ASSERT_TRUE(WriteCheckpoint(path, Example()).ok());
  Checkpoint larger = Example();
  larger.step = 42;
  larger.tensors["large"] = torch::zeros({1 << 16});
  // No file may grow past 4 KiB: as on a full disk, the write fails half way.
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 4096;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteCheckpoint(path, larger);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(status.ok());
  auto read = ReadCheckpoint(path, kJob);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->step, 41);
  EXPECT_TRUE(WriteCheckpoint(path, larger).ok());
  EXPECT_EQ(ReadCheckpoint(path, kJob)->step, 42);
}

TEST(CheckpointTest, AFolderThatIsNotThereIsAnError) {
  TempDir dir;
  EXPECT_FALSE(
      WriteCheckpoint(dir.path() + "/none/checkpoint", Example()).ok());
}

}  // namespace
}  // namespace condense::training
