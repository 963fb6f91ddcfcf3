#include "server/rpc/blob_service.h"

#include <memory>
#include <utility>

#include "common/digest.h"
#include "common/grpc_status.h"
#include "common/status_macros.h"
#include "server/core/errors.h"

namespace condense {
namespace {

constexpr int kMostDigests = 10000;
constexpr int64_t kLargestChunk = 1 << 20;
// What Read sends at once.
constexpr int64_t kReadChunk = 256 * 1024;

// One Write stream: reads a message, appends it on the pool, reads the next.
class WriteReactor : public grpc::ServerReadReactor<v1::WriteRequest> {
 public:
  WriteReactor(BlobStore* blobs, ServerMetrics* metrics, TaskPool* pool,
               v1::WriteResponse* response)
      : blobs_(blobs), metrics_(metrics), pool_(pool), response_(response) {
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      // The client has sent all it wanted, which may be a part.
      Finish(ToGrpc(writer_ == nullptr ? FieldMissing("digest")
                                       : absl::OkStatus()));
      return;
    }
    pool_->Post([this] {
      const absl::Status status = Append();
      if (!status.ok() || response_->complete()) {
        Finish(ToGrpc(status));
      } else {
        StartRead(&request_);
      }
    });
  }

  void OnDone() override { delete this; }

 private:
  absl::Status Append() {
    const auto size = static_cast<int64_t>(request_.data().size());
    if (writer_ == nullptr) {
      if (request_.size_bytes() < 0) {
        return FieldOutOfRange("size_bytes", request_.size_bytes(), 0,
                               INT64_MAX);
      }
      CONDENSE_ASSIGN_OR_RETURN(
          writer_, blobs_->Write(request_.digest(), request_.size_bytes()));
      offset_ = request_.offset();
    }
    if (size > kLargestChunk) return ChunkTooLarge(size, kLargestChunk);
    CONDENSE_ASSIGN_OR_RETURN(const WriteState state,
                              writer_->Append(offset_, request_.data()));
    offset_ += size;
    metrics_->BlobBytes("in", size);
    response_->set_committed_bytes(state.committed_bytes);
    response_->set_complete(state.complete);
    return absl::OkStatus();
  }

  BlobStore* const blobs_;
  ServerMetrics* const metrics_;
  TaskPool* const pool_;
  v1::WriteResponse* const response_;
  v1::WriteRequest request_;
  std::unique_ptr<BlobWriter> writer_;
  int64_t offset_ = 0;
};

// One Read stream: reads a chunk on the pool when the last has gone out.
class ReadReactor : public grpc::ServerWriteReactor<v1::ReadResponse> {
 public:
  ReadReactor(BlobStore* blobs, ServerMetrics* metrics, TaskPool* pool,
              const v1::ReadRequest& request)
      : blobs_(blobs), metrics_(metrics), pool_(pool), request_(request) {
    pool_->Post([this] { Next(); });
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(ToGrpc(absl::CancelledError("the reader is gone")));
      return;
    }
    pool_->Post([this] { Next(); });
  }

  void OnDone() override { delete this; }

 private:
  void Next() {
    const absl::Status status = ReadChunk();
    if (!status.ok() || chunk_.data().empty()) {
      Finish(ToGrpc(status));
      return;
    }
    StartWrite(&chunk_);
  }

  absl::Status ReadChunk() {
    if (reader_ == nullptr) {
      CONDENSE_ASSIGN_OR_RETURN(
          reader_,
          blobs_->Read(request_.digest(), request_.offset(), request_.limit()));
    }
    CONDENSE_ASSIGN_OR_RETURN(*chunk_.mutable_data(),
                              reader_->Read(kReadChunk));
    metrics_->BlobBytes("out", static_cast<int64_t>(chunk_.data().size()));
    return absl::OkStatus();
  }

  BlobStore* const blobs_;
  ServerMetrics* const metrics_;
  TaskPool* const pool_;
  const v1::ReadRequest request_;
  std::unique_ptr<BlobReader> reader_;
  v1::ReadResponse chunk_;
};

absl::Status FindMissingOf(const v1::FindMissingRequest& request,
                           BlobStore& blobs, v1::FindMissingResponse& missing) {
  if (request.digests_size() > kMostDigests) {
    return FieldOutOfRange("digests", request.digests_size(), 0, kMostDigests);
  }
  for (const std::string& digest : request.digests()) {
    CONDENSE_RETURN_IF_ERROR(CheckDigest(digest));
    if (!blobs.SizeOf(digest).has_value()) missing.add_digests(digest);
  }
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* BlobServiceImpl::FindMissing(
    grpc::CallbackServerContext* context, const v1::FindMissingRequest* request,
    v1::FindMissingResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  pool_->Post([this, reactor, request, response] {
    reactor->Finish(ToGrpc(FindMissingOf(*request, *blobs_, *response)));
  });
  return reactor;
}

grpc::ServerReadReactor<v1::WriteRequest>* BlobServiceImpl::Write(
    grpc::CallbackServerContext* context, v1::WriteResponse* response) {
  return new WriteReactor(blobs_, metrics_, pool_, response);
}

grpc::ServerUnaryReactor* BlobServiceImpl::QueryWrite(
    grpc::CallbackServerContext* context, const v1::QueryWriteRequest* request,
    v1::QueryWriteResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  pool_->Post([this, reactor, request, response] {
    absl::StatusOr<WriteState> state = blobs_->QueryWrite(request->digest());
    if (state.ok()) {
      response->set_committed_bytes(state->committed_bytes);
      response->set_complete(state->complete);
    }
    reactor->Finish(ToGrpc(state.status()));
  });
  return reactor;
}

grpc::ServerWriteReactor<v1::ReadResponse>* BlobServiceImpl::Read(
    grpc::CallbackServerContext* context, const v1::ReadRequest* request) {
  return new ReadReactor(blobs_, metrics_, pool_, *request);
}

}  // namespace condense
