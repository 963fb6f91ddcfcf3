#include "server/rpc/blob_service.h"

#include "server/rpc/rpc_test_base.h"

namespace condense {
namespace {

class BlobServiceTest : public RpcTest {
 protected:
  // Sends `bytes` in chunks of `chunk` from `offset` on, and closes.
  absl::StatusOr<v1::WriteResponse> Write(const std::string& digest,
                                          int64_t size, int64_t offset,
                                          const std::string& bytes,
                                          size_t chunk = 1 << 16) {
    grpc::ClientContext context;
    v1::WriteResponse response;
    auto writer = blob_->Write(&context, &response);
    v1::WriteRequest request;
    request.set_digest(digest);
    request.set_size_bytes(size);
    request.set_offset(offset);
    for (size_t at = 0; at == 0 || at < bytes.size(); at += chunk) {
      request.set_data(bytes.substr(at, chunk));
      if (!writer->Write(request)) break;
      request.Clear();
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    if (!status.ok()) return FromGrpc(status);
    return response;
  }

  absl::StatusOr<std::string> Read(const std::string& digest, int64_t offset,
                                   int64_t limit) {
    grpc::ClientContext context;
    v1::ReadRequest request;
    request.set_digest(digest);
    request.set_offset(offset);
    request.set_limit(limit);
    auto reader = blob_->Read(&context, request);
    std::string bytes;
    v1::ReadResponse response;
    while (reader->Read(&response)) bytes += response.data();
    const grpc::Status status = reader->Finish();
    if (!status.ok()) return FromGrpc(status);
    return bytes;
  }

  v1::QueryWriteResponse Query(const std::string& digest) {
    grpc::ClientContext context;
    v1::QueryWriteRequest request;
    request.set_digest(digest);
    v1::QueryWriteResponse response;
    EXPECT_TRUE(blob_->QueryWrite(&context, request, &response).ok());
    return response;
  }

  static std::string Bytes(size_t size) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i)
      bytes[i] = static_cast<char>(i * 131 >> 3);
    return bytes;
  }
};

TEST_F(BlobServiceTest, AnInterruptedWriteResumesAlsoAfterARestart) {
  const std::string bytes = Bytes(1'000'000);
  const std::string digest = DigestOf(bytes);
  const auto part = Write(digest, 1'000'000, 0, bytes.substr(0, 400'000));
  EXPECT_EQ(part->committed_bytes(), 400'000);
  EXPECT_FALSE(part->complete());
  StopServer();
  StartServer();
  EXPECT_EQ(Query(digest).committed_bytes(), 400'000);
  EXPECT_EQ(ErrorReason(Write(digest, 1'000'000, 500'000, "x").status()),
            "WRONG_OFFSET");
  EXPECT_TRUE(
      Write(digest, 1'000'000, 400'000, bytes.substr(400'000))->complete());
  EXPECT_EQ(Read(digest, 0, 0).value(), bytes);
  EXPECT_EQ(Read(digest, 300'000, 5).value(), bytes.substr(300'000, 5));
  EXPECT_TRUE(Write(digest, 1'000'000, 0, bytes)->complete());  // Exists.
}

TEST_F(BlobServiceTest, ADigestThatLiesIsRefused) {
  const std::string digest = DigestOf("the truth");
  EXPECT_EQ(ErrorReason(Write(digest, 9, 0, "untruths!").status()),
            "DIGEST_MISMATCH");
  EXPECT_EQ(Query(digest).committed_bytes(), 0);
  EXPECT_EQ(ErrorReason(Read(digest, 0, 0).status()), "BLOB_NOT_FOUND");
}

TEST_F(BlobServiceTest, BadWritesAreRefused) {
  EXPECT_EQ(ErrorReason(Write("sha256:1", 1, 0, "x").status()), "BAD_DIGEST");
  const std::string large = Bytes((1 << 20) + 1);
  EXPECT_EQ(
      ErrorReason(Write(DigestOf(large), static_cast<int64_t>(large.size()), 0,
                        large, large.size())
                      .status()),
      "CHUNK_TOO_LARGE");
  grpc::ClientContext context;
  v1::WriteResponse response;
  auto writer = blob_->Write(&context, &response);
  writer->WritesDone();
  EXPECT_EQ(ErrorReason(FromGrpc(writer->Finish())), "FIELD_MISSING");
}

TEST_F(BlobServiceTest, FindMissingNamesWhatIsNotStored) {
  v1::FindMissingRequest request;
  request.add_digests(Put("here"));
  request.add_digests(DigestOf("not here"));
  grpc::ClientContext context;
  v1::FindMissingResponse response;
  ASSERT_TRUE(blob_->FindMissing(&context, request, &response).ok());
  ASSERT_EQ(response.digests_size(), 1);
  EXPECT_EQ(response.digests(0), DigestOf("not here"));
}

TEST_F(BlobServiceTest, ReadingPastTheEndIsOutOfRange) {
  const std::string digest = Put("four");
  EXPECT_EQ(Read(digest, 4, 0).value(), "");
  const absl::Status status = Read(digest, 5, 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace condense
