#include "client/cpp/transfer.h"

#include <filesystem>
#include <fstream>

#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/fake_server.h"
#include "tests/testing/skipping_clock.h"

namespace condense::client {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

class TransferTest : public testing::Test {
 protected:
  TransferTest()
      : client_({.server = server_.address(), .clock = &clock_}),
        root_(fs::path(testing::TempDir()) /
              (std::string("transfer_") +
               testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~TransferTest() override { fs::remove_all(root_); }

  std::string Write(const std::string& name, const std::string& content) {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << content;
    return (root_ / name).string();
  }

  SkippingClock clock_;
  FakeServer server_;
  Client client_;
  fs::path root_;
};

TEST_F(TransferTest, AFileArrivesUnderItsDigestAndIsSentOnce) {
  const std::string path = Write("model.onnx", "weights");
  auto blob = UploadFile(client_, path);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(blob->digest(), DigestOf("weights"));
  EXPECT_EQ(blob->size_bytes(), 7);
  EXPECT_EQ(blob->filename(), "model.onnx");
  EXPECT_EQ(server_.state().blobs[blob->digest()], "weights");
  ASSERT_TRUE(UploadFile(client_, path).ok());
  EXPECT_EQ(server_.state().writes, 1);
}

TEST_F(TransferTest, AnEmptyFileArrives) {
  ASSERT_TRUE(UploadFile(client_, Write("empty", "")).ok());
  EXPECT_EQ(server_.state().blobs.count(DigestOf("")), 1u);
}

TEST_F(TransferTest, ACutUploadGoesOnWhereItStopped) {
  const std::string content(1500000, 'x');
  server_.state().write_cut = 700000;
  auto blob = UploadFile(client_, Write("big", content));
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(server_.state().blobs[blob->digest()], content);
  EXPECT_EQ(server_.state().writes, 2);
  EXPECT_EQ(server_.state().bytes_written, 1500000);
}

TEST_F(TransferTest, AFolderTravelsAsATar) {
  Write("faces/a/1.png", "one");
  auto data = UploadData(client_, "train", (root_ / "faces").string());
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_TRUE(data->is_folder());
  EXPECT_EQ(data->name(), "train");
  EXPECT_EQ(data->blob().filename(), "faces.tar");
  EXPECT_EQ(server_.state().blobs.count(data->blob().digest()), 1u);
}

TEST_F(TransferTest, BadInputsAreNamedBeforeAnythingIsSent) {
  fs::create_directories(root_ / "empty");
  EXPECT_EQ(ErrorReason(UploadFile(client_, root_.string()).status()),
            "NOT_A_FILE");
  EXPECT_EQ(ErrorReason(UploadFile(client_, "no/such/file").status()),
            "FILE_NOT_FOUND");
  EXPECT_EQ(ErrorReason(
                UploadData(client_, "t", (root_ / "empty").string()).status()),
            "EMPTY_FOLDER");
  EXPECT_EQ(server_.state().writes, 0);
}

TEST_F(TransferTest, ACutDownloadGoesOnWhereItStopped) {
  const std::string content(5000, 'y');
  const std::string digest = server_.AddBlob(content);
  server_.state().read_cut = 2500;
  const std::string path = (root_ / "out/model.onnx").string();
  ASSERT_TRUE(DownloadBlob(client_, digest, path).ok());
  EXPECT_EQ(*ReadFile(path), content);
  EXPECT_THAT(server_.state().read_offsets, ElementsAre(0, 2500));
  // Nothing else is left in the folder, and a second time nothing is read.
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "out"), {}), 1);
  ASSERT_TRUE(DownloadBlob(client_, digest, path).ok());
  EXPECT_EQ(server_.state().read_offsets.size(), 2u);
}

TEST_F(TransferTest, WhatAnEarlierProcessLeftIsGoneOnWith) {
  const std::string digest = server_.AddBlob("0123456789");
  Write("." + std::string("m.") + digest.substr(7, 12) + ".part", "0123");
  ASSERT_TRUE(DownloadBlob(client_, digest, (root_ / "m").string()).ok());
  EXPECT_EQ(*ReadFile((root_ / "m").string()), "0123456789");
  EXPECT_THAT(server_.state().read_offsets, ElementsAre(4));
}

TEST_F(TransferTest, WrongBytesAreNeverPutUnderTheName) {
  const std::string digest = DigestOf("right");
  server_.state().blobs[digest] = "wrong";
  const std::string path = (root_ / "m").string();
  EXPECT_EQ(ErrorReason(DownloadBlob(client_, digest, path)),
            "DIGEST_MISMATCH");
  EXPECT_TRUE(fs::is_empty(root_));
  EXPECT_EQ(ErrorReason(ReadBlob(client_, digest).status()), "DIGEST_MISMATCH");
}

TEST_F(TransferTest, AnUnknownBlobIsNotFound) {
  EXPECT_EQ(DownloadBlob(client_, DigestOf("?"), (root_ / "m").string()).code(),
            absl::StatusCode::kNotFound);
}

TEST_F(TransferTest, AnArtifactIsAFolderNamedAfterItsProfile) {
  v1::Artifact artifact;
  artifact.set_profile("cpu");
  v1::Artifact::File* file = artifact.add_files();
  file->set_name("model.onnx");
  file->set_digest(server_.AddBlob("m"));
  auto folder = DownloadArtifact(client_, artifact, root_.string());
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(*ReadFile(*folder + "/model.onnx"), "m");
  EXPECT_EQ(*folder, (root_ / "cpu").string());
}

TEST_F(TransferTest, AFileThatWouldLieElsewhereIsRefused) {
  v1::Artifact artifact;
  artifact.set_profile("cpu");
  v1::Artifact::File* file = artifact.add_files();
  file->set_digest(server_.AddBlob("m"));
  for (const char* name : {"../m", "a/b", "..", ""}) {
    file->set_name(name);
    EXPECT_EQ(ErrorReason(
                  DownloadArtifact(client_, artifact, root_.string()).status()),
              "BAD_FILE_NAME")
        << name;
  }
}

TEST_F(TransferTest, ABlobOverTheLimitIsNotReadIntoMemory) {
  const std::string digest = server_.AddBlob(std::string(5000, 'z'));
  EXPECT_EQ(ErrorReason(ReadBlob(client_, digest, 4999).status()),
            "BLOB_TOO_LARGE");
  EXPECT_TRUE(ReadBlob(client_, digest, 5000).ok());
}

}  // namespace
}  // namespace condense::client
