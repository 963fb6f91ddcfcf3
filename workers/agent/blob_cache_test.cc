#include "workers/agent/blob_cache.h"

#include <filesystem>
#include <fstream>
#include <thread>

#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/grpc_status.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_server.h"
#include "tests/testing/skipping_clock.h"
#include "workers/agent/checkpoint_uploader.h"

namespace condense::agent {
namespace {

namespace fs = std::filesystem;

class BlobCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "/blob_cache_" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    stub_ = v1::BlobService::NewStub(grpc::CreateChannel(
        server_.address(), grpc::InsecureChannelCredentials()));
    access_.stub = stub_.get();
    access_.clock = &clock_;
    access_.status_of = [](const grpc::Status& status) {
      return FromGrpc(status);
    };
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::unique_ptr<BlobCache> Open(int64_t max_bytes = 1000) {
    auto cache = BlobCache::Open({.folder = folder_ + "/cache",
                                  .max_bytes = max_bytes,
                                  .blobs = access_});
    EXPECT_TRUE(cache.ok()) << cache.status();
    return *std::move(cache);
  }
  size_t Reads() {
    absl::MutexLock lock(&server_.state().mu);
    return server_.state().read_offsets.size();
  }

  std::string folder_;
  FakeServer server_;
  SkippingClock clock_;
  std::unique_ptr<v1::BlobService::Stub> stub_;
  BlobAccess access_;
};

TEST_F(BlobCacheTest, ABlobIsFetchedOnce) {
  const std::string digest = server_.AddBlob("weights");
  auto cache = Open();
  ASSERT_TRUE(cache->Place(digest, folder_ + "/a").ok());
  ASSERT_TRUE(cache->Place(digest, folder_ + "/b").ok());
  EXPECT_EQ(*ReadFile(folder_ + "/b"), "weights");
  EXPECT_EQ(Reads(), 1u);
  EXPECT_EQ(cache->bytes(), 7);
  // And by the next agent on this machine.
  cache = Open();
  EXPECT_EQ(cache->bytes(), 7);
  ASSERT_TRUE(cache->Place(digest, folder_ + "/c").ok());
  EXPECT_EQ(Reads(), 1u);
}

TEST_F(BlobCacheTest, TheLeastRecentlyUsedGoesFirst) {
  auto cache = Open(25);
  const std::string a = server_.AddBlob("aaaaaaaaaa");
  const std::string b = server_.AddBlob("bbbbbbbbbb");
  const std::string c = server_.AddBlob("cccccccccc");
  const std::string at = folder_ + "/x";
  ASSERT_TRUE(cache->Place(a, at).ok());
  ASSERT_TRUE(cache->Place(b, at).ok());
  ASSERT_TRUE(cache->Place(a, at).ok());
  ASSERT_TRUE(cache->Place(c, at).ok());
  EXPECT_EQ(cache->bytes(), 20);
  EXPECT_EQ(Reads(), 3u);
  ASSERT_TRUE(cache->Place(a, at).ok());
  EXPECT_EQ(Reads(), 3u);
  ASSERT_TRUE(cache->Place(b, at).ok());
  EXPECT_EQ(Reads(), 4u);
}

TEST_F(BlobCacheTest, TwoSlotsMayWantTheSameBlobAtOnce) {
  const std::string digest = server_.AddBlob(std::string(3 << 20, 'x'));
  auto cache = Open(8 << 20);
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      results[i] = cache->Place(digest, folder_ + "/" + std::to_string(i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : results) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Reads(), 1u);
}

TEST_F(BlobCacheTest, ADigestThatLiesIsNotPlaced) {
  const std::string digest = DigestOf("the truth");
  {
    absl::MutexLock lock(&server_.state().mu);
    server_.state().blobs[digest] = "a lie";
  }
  auto cache = Open();
  const absl::Status status = cache->Place(digest, folder_ + "/a");
  EXPECT_EQ(ErrorReason(status), "DIGEST_MISMATCH");
  EXPECT_FALSE(fs::exists(folder_ + "/a"));
  EXPECT_EQ(cache->bytes(), 0);
}

TEST_F(BlobCacheTest, WhatACrashLeftHalfFetchedIsRemoved) {
  fs::create_directories(folder_ + "/cache");
  std::ofstream(folder_ + "/cache/.half.part") << "xyz";
  auto cache = Open();
  EXPECT_EQ(cache->bytes(), 0);
  EXPECT_TRUE(fs::is_empty(folder_ + "/cache"));
}

TEST_F(BlobCacheTest, TheNewestCheckpointIsUploadedAndTold) {
  absl::Mutex mu;
  std::vector<v1::Checkpoint> told;
  CheckpointUploader uploader({.blobs = access_,
                               .folder = folder_,
                               .uploaded = [&](const v1::Checkpoint& c) {
                                 absl::MutexLock lock(&mu);
                                 told.push_back(c);
                               }});
  EXPECT_FALSE(uploader.newest().has_value());
  for (int step = 1; step <= 5; ++step) {
    const std::string path = folder_ + "/engine.ckpt";
    fs::remove(path);
    std::ofstream(path) << "state " << step;
    v1::CheckpointWritten written;
    written.set_path(path);
    written.set_step(step);
    uploader.Add(written);
    // The engine removes its file; the upload has a link of its own.
    fs::remove(path);
  }
  uploader.Flush();
  ASSERT_TRUE(uploader.newest().has_value());
  EXPECT_EQ(uploader.newest()->step(), 5);
  EXPECT_EQ(uploader.newest()->digest(), DigestOf("state 5"));
  absl::MutexLock lock(&mu);
  EXPECT_EQ(told.back().step(), 5);
  absl::MutexLock state(&server_.state().mu);
  EXPECT_EQ(server_.state().blobs.at(DigestOf("state 5")), "state 5");
}

}  // namespace
}  // namespace condense::agent
