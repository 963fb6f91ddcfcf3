#include <unistd.h>

#include <filesystem>

#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/framing.h"
#include "common/utf8.h"
#include "condense/v1/engine.pb.h"
#include "gtest/gtest.h"

namespace condense {
namespace {

// FIPS 180-4, the one-block example.
TEST(DigestTest, MatchesThePublishedExample) {
  EXPECT_EQ(
      DigestOf("abc"),
      "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f200"
      "15ad");
}

TEST(DigestTest, PiecesGiveTheDigestOfTheWhole) {
  Sha256 sha;
  sha.Update("a");
  sha.Update("bc");
  EXPECT_EQ(sha.Finish(), DigestOf("abc"));
}

TEST(DigestTest, RefusesWhatIsNoDigest) {
  EXPECT_TRUE(CheckDigest(DigestOf("x")).ok());
  EXPECT_EQ(ErrorReason(CheckDigest("sha256:12")), "BAD_DIGEST");
  std::string upper = DigestOf("x");
  upper[10] = 'F';
  EXPECT_FALSE(CheckDigest(upper).ok());
}

TEST(ErrorTest, KeepsReasonAndDetailThroughTheProto) {
  const absl::Status status =
      MakeError(absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY", "no key 'x'",
                {.field = "stages[0].x",
                 .line = 3,
                 .column = 5,
                 .nearest = "y",
                 .hint = "see docs"});
  const absl::Status back =
      ErrorFromProto(ErrorToProto(status, v1::Job::PREFLIGHT));
  EXPECT_EQ(ErrorText(back),
            "error: INVALID_ARGUMENT UNKNOWN_KEY: no key 'x'\n"
            "  field: stages[0].x\n"
            "  at: line 3:5\n"
            "  nearest: y\n"
            "  hint: see docs");
}

TEST(ErrorTest, NamesTheNearestOnlyWhenItIsNear) {
  EXPECT_EQ(NearestName("epoch", {"epochs", "optimizer"}), "epochs");
  EXPECT_EQ(NearestName("zzz", {"epochs", "optimizer"}), "");
}

TEST(FilesTest, AnAtomicWriteReplacesTheWholeContent) {
  const std::string path = testing::TempDir() + "/condense_files_test";
  ASSERT_TRUE(WriteFileAtomically(path, "first, longer").ok());
  ASSERT_TRUE(WriteFileAtomically(path, "second").ok());
  EXPECT_EQ(*ReadFile(path), "second");
  std::filesystem::remove(path);
  EXPECT_EQ(ErrorReason(ReadFile(path).status()), "FILE_NOT_FOUND");
}

TEST(FramingTest, MessagesComeOutAsTheyWentIn) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  v1::EngineCommand start;
  start.mutable_start()->set_job_dir("jobs/1");
  v1::EngineCommand cancel;
  cancel.mutable_cancel();
  ASSERT_TRUE(WriteMessage(fds[1], start).ok());
  ASSERT_TRUE(WriteMessage(fds[1], cancel).ok());
  MessageReader reader(fds[0]);
  v1::EngineCommand got;
  ASSERT_TRUE(*reader.Read(&got));
  EXPECT_EQ(got.start().job_dir(), "jobs/1");
  ASSERT_TRUE(*reader.Read(&got));
  EXPECT_TRUE(got.has_cancel());
  EXPECT_EQ(reader.Read(&got, 0).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  close(fds[1]);
  EXPECT_FALSE(*reader.Read(&got));
  close(fds[0]);
}

TEST(FramingTest, APipeThatEndsInsideAMessageIsDataLoss) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  ASSERT_EQ(write(fds[1], "\x05hel", 4), 4);
  close(fds[1]);
  MessageReader reader(fds[0]);
  v1::EngineCommand got;
  EXPECT_EQ(reader.Read(&got).status().code(), absl::StatusCode::kDataLoss);
  close(fds[0]);
}

TEST(ErrorTest, WhatAFileSaysIsMadeFitToTravel) {
  const absl::Status status = MakeError(
      absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY", "no \xff key",
      {.field = "a\xc3(", .node = std::string(100'000, 'n')});
  EXPECT_EQ(status.message(), "no \\xff key");
  EXPECT_EQ(ErrorReason(status), "UNKNOWN_KEY");
  EXPECT_EQ(ErrorDetailOf(status).field, "a\\xc3(");
  EXPECT_LT(ErrorDetailOf(status).node.size(), 500u);
  // Cut between characters.
  std::string long_text = "x";
  for (int i = 0; i < 3000; ++i) long_text += "\xc3\xa4";
  const std::string cut(
      MakeError(absl::StatusCode::kInternal, "R", long_text).message());
  EXPECT_LT(cut.size(), 3100u);
  EXPECT_TRUE(IsUtf8(cut));
}

}  // namespace
}  // namespace condense
