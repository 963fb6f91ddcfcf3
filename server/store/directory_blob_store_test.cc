#include "server/store/directory_blob_store.h"

#include <fstream>

#include "common/digest.h"
#include "common/error.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace condense {
namespace {

class DirectoryBlobStoreTest : public ::testing::Test {
 protected:
  DirectoryBlobStoreTest() { Reopen(); }
  void Reopen() { store_ = OpenDirectoryBlobStore(dir_.path()).value(); }

  absl::StatusOr<WriteState> Write(absl::string_view digest, int64_t size,
                                   int64_t offset, absl::string_view bytes) {
    auto writer = store_->Write(digest, size);
    if (!writer.ok()) return writer.status();
    return (*writer)->Append(offset, bytes);
  }

  TempDir dir_;
  std::unique_ptr<BlobStore> store_;
  const std::string bytes_ = "0123456789";
  const std::string digest_ = DigestOf(bytes_);
};

TEST_F(DirectoryBlobStoreTest, AWholeBlobIsVerifiedAndReadBackInRanges) {
  EXPECT_FALSE(store_->SizeOf(digest_).has_value());
  EXPECT_TRUE(Write(digest_, 10, 0, bytes_)->complete);
  EXPECT_EQ(store_->SizeOf(digest_), 10);
  auto part = store_->Read(digest_, 3, 4).value();
  EXPECT_EQ(part->Read(3).value(), "345");
  EXPECT_EQ(part->Read(3).value(), "6");
  EXPECT_EQ(part->Read(3).value(), "");
  EXPECT_EQ(store_->Read(digest_, 8, 0).value()->Read(100).value(), "89");
  EXPECT_EQ(store_->Read(digest_, 10, 0).value()->Read(100).value(), "");
  EXPECT_EQ(ErrorReason(store_->Read(digest_, 11, 0).status()),
            "OFFSET_PAST_END");
}

TEST_F(DirectoryBlobStoreTest, AnInterruptedWriteGoesOnAfterARestart) {
  EXPECT_FALSE(Write(digest_, 10, 0, "0123")->complete);
  Reopen();
  EXPECT_EQ(store_->QueryWrite(digest_)->committed_bytes, 4);
  EXPECT_FALSE(store_->QueryWrite(digest_)->complete);
  EXPECT_FALSE(store_->SizeOf(digest_).has_value());
  EXPECT_TRUE(Write(digest_, 10, 4, "456789")->complete);
  EXPECT_TRUE(store_->QueryWrite(digest_)->complete);
}

TEST_F(DirectoryBlobStoreTest, WritingWhatExistsSucceedsAtOnce) {
  ASSERT_TRUE(Write(digest_, 10, 0, bytes_).ok());
  EXPECT_TRUE(Write(digest_, 10, 0, "")->complete);
}

TEST_F(DirectoryBlobStoreTest, ADigestThatLiesKeepsNothing) {
  EXPECT_EQ(ErrorReason(Write(digest_, 10, 0, "9876543210").status()),
            "DIGEST_MISMATCH");
  EXPECT_EQ(store_->QueryWrite(digest_)->committed_bytes, 0);
  EXPECT_FALSE(store_->SizeOf(digest_).has_value());
  EXPECT_TRUE(Write(digest_, 10, 0, bytes_)->complete);
}

TEST_F(DirectoryBlobStoreTest, DamageToAPartialFileIsFound) {
  ASSERT_TRUE(Write(digest_, 10, 0, "0123").ok());
  Reopen();
  std::ofstream(dir_.path() + "/partial/" + digest_.substr(7)) << "XXXX";
  EXPECT_EQ(ErrorReason(Write(digest_, 10, 4, "456789").status()),
            "DIGEST_MISMATCH");
  EXPECT_TRUE(Write(digest_, 10, 0, bytes_)->complete);
}

TEST_F(DirectoryBlobStoreTest, BytesThatDoNotFollowAreRefused) {
  EXPECT_EQ(ErrorReason(Write(digest_, 10, 5, "56789").status()),
            "WRONG_OFFSET");
  EXPECT_EQ(ErrorReason(Write(digest_, 10, -1, "56789").status()),
            "WRONG_OFFSET");
  EXPECT_EQ(ErrorReason(Write(digest_, 4, 0, bytes_).status()), "WRONG_SIZE");
}

TEST_F(DirectoryBlobStoreTest, TwoWritersOfOneBlobSkipWhatTheOtherHasSent) {
  auto a = store_->Write(digest_, 10).value();
  auto b = store_->Write(digest_, 10).value();
  EXPECT_EQ(a->Append(0, "0123")->committed_bytes, 4);
  EXPECT_EQ(b->Append(0, "012")->committed_bytes, 4);
  EXPECT_EQ(b->Append(3, "3456")->committed_bytes, 7);
  EXPECT_TRUE(a->Append(4, "456789")->complete);
  EXPECT_TRUE(b->Append(7, "789")->complete);
}

TEST_F(DirectoryBlobStoreTest, AnEmptyBlobIsABlob) {
  EXPECT_TRUE(Write(DigestOf(""), 0, 0, "")->complete);
  EXPECT_EQ(store_->SizeOf(DigestOf("")), 0);
}

TEST_F(DirectoryBlobStoreTest, WhatIsNoDigestNeverBecomesAPath) {
  for (const char* digest : {"", "sha256:", "sha256:../../x", "md5:00"}) {
    EXPECT_EQ(ErrorReason(store_->Write(digest, 1).status()), "BAD_DIGEST");
    EXPECT_EQ(ErrorReason(store_->QueryWrite(digest).status()), "BAD_DIGEST");
    EXPECT_EQ(ErrorReason(store_->Read(digest, 0, 0).status()), "BAD_DIGEST");
    EXPECT_FALSE(store_->SizeOf(digest).has_value());
  }
}

}  // namespace
}  // namespace condense
