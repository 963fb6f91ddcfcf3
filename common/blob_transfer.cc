#include "common/blob_transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/retry.h"
#include "common/status_macros.h"

namespace condense {
namespace {

namespace fs = std::filesystem;

constexpr size_t kChunkBytes = 512 << 10;

void Report(const TransferProgress& progress, int64_t done, int64_t total) {
  if (progress) progress(done, total);
}

absl::StatusOr<bool> IsStored(const BlobAccess& blobs,
                              const std::string& digest) {
  v1::FindMissingRequest request;
  request.add_digests(digest);
  v1::FindMissingResponse response;
  grpc::ClientContext context;
  CONDENSE_RETURN_IF_ERROR(
      blobs.status_of(blobs.stub->FindMissing(&context, request, &response)));
  return response.digests().empty();
}

absl::StatusOr<v1::QueryWriteResponse> QueryWrite(const BlobAccess& blobs,
                                                  const std::string& digest) {
  v1::QueryWriteRequest request;
  request.set_digest(digest);
  v1::QueryWriteResponse response;
  grpc::ClientContext context;
  CONDENSE_RETURN_IF_ERROR(
      blobs.status_of(blobs.stub->QueryWrite(&context, request, &response)));
  return response;
}

// Sends the file from `offset` to its end in one call.
absl::Status WriteFrom(const BlobAccess& blobs, std::ifstream& in,
                       const v1::BlobRef& blob, int64_t offset,
                       const TransferProgress& progress) {
  grpc::ClientContext context;
  v1::WriteResponse response;
  auto writer = blobs.stub->Write(&context, &response);
  v1::WriteRequest request;
  request.set_digest(blob.digest());
  request.set_size_bytes(blob.size_bytes());
  request.set_offset(offset);
  in.clear();
  in.seekg(offset);
  std::vector<char> buffer(kChunkBytes);
  int64_t sent = offset;
  bool first = true;
  while (first || sent < blob.size_bytes()) {
    const auto want = std::min<int64_t>(blob.size_bytes() - sent, kChunkBytes);
    in.read(buffer.data(), want);
    if (in.gcount() != want) {
      context.TryCancel();
      writer->Finish();
      return MakeError(absl::StatusCode::kInternal, "FILE_CHANGED",
                       absl::StrCat("'", blob.filename(),
                                    "' became shorter while it was sent"));
    }
    request.set_data(buffer.data(), static_cast<size_t>(want));
    if (!writer->Write(request)) break;  // Finish says why.
    request.Clear();
    first = false;
    sent += want;
    Report(progress, sent, blob.size_bytes());
  }
  writer->WritesDone();
  CONDENSE_RETURN_IF_ERROR(blobs.status_of(writer->Finish()));
  if (!response.complete()) {
    return absl::UnavailableError("the upload ended early");
  }
  return absl::OkStatus();
}

bool MayGoOn(const absl::Status& status) {
  return IsTransient(status) || status.code() == absl::StatusCode::kAborted;
}

// Reads a blob from `offset` on; `sink` gets each chunk.
absl::Status ReadFrom(
    const BlobAccess& blobs, const std::string& digest, int64_t offset,
    const std::function<absl::Status(const std::string&)>& sink) {
  v1::ReadRequest request;
  request.set_digest(digest);
  request.set_offset(offset);
  grpc::ClientContext context;
  auto stream = blobs.stub->Read(&context, request);
  v1::ReadResponse response;
  while (stream->Read(&response)) {
    if (absl::Status status = sink(response.data()); !status.ok()) {
      context.TryCancel();
      stream->Finish();
      return status;
    }
  }
  return blobs.status_of(stream->Finish());
}

// Reads a whole blob whose first `*done` bytes are there; tries again from
// where it stopped while the server is away.
absl::Status ReadRest(
    const BlobAccess& blobs, const std::string& digest, int64_t* done,
    const std::function<absl::Status(const std::string&)>& sink) {
  RetryTimer timer(blobs.clock, blobs.retry);
  for (;;) {
    const int64_t before = *done;
    const absl::Status status =
        ReadFrom(blobs, digest, *done, [&](const std::string& data) {
          CONDENSE_RETURN_IF_ERROR(sink(data));
          *done += static_cast<int64_t>(data.size());
          return absl::OkStatus();
        });
    if (*done != before) timer.Reset();
    if (status.ok() || !IsTransient(status) || !timer.Wait()) return status;
  }
}

absl::Status Mismatch(const std::string& what) {
  return MakeError(
      absl::StatusCode::kDataLoss, "DIGEST_MISMATCH",
      absl::StrCat("the bytes of ", what, " are not those of its digest"),
      {.hint = "try again; if it happens again, the server's "
               "store is damaged"});
}

absl::Status CannotWrite(const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  return MakeError(
      full ? absl::StatusCode::kResourceExhausted
           : absl::StatusCode::kPermissionDenied,
      full ? "DISK_FULL" : "FILE_NOT_WRITABLE",
      absl::StrCat("cannot write '", path, "': ", std::strerror(errno)));
}

bool HasDigest(const std::string& path, const std::string& digest) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;
  auto found = DigestOfFile(path);
  return found.ok() && *found == digest;
}

absl::Status FetchPart(const BlobAccess& blobs, const std::string& digest,
                       const std::string& part) {
  std::error_code error;
  int64_t done = 0;
  if (fs::exists(part, error)) {
    done = static_cast<int64_t>(fs::file_size(part, error));
  }
  const int fd =
      open(part.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return CannotWrite(part);
  absl::Status status =
      ReadRest(blobs, digest, &done, [&](const std::string& data) {
        for (size_t at = 0; at < data.size();) {
          const ssize_t n = write(fd, data.data() + at, data.size() - at);
          if (n < 0 && errno == EINTR) continue;
          if (n < 0) return CannotWrite(part);
          at += static_cast<size_t>(n);
        }
        return absl::OkStatus();
      });
  if (status.ok() && fsync(fd) != 0) status = CannotWrite(part);
  close(fd);
  return status;
}

}  // namespace

absl::Status UploadBlob(const BlobAccess& blobs, const std::string& path,
                        const v1::BlobRef& blob,
                        const TransferProgress& progress) {
  CONDENSE_ASSIGN_OR_RETURN(const bool stored, IsStored(blobs, blob.digest()));
  if (stored) {
    Report(progress, blob.size_bytes(), blob.size_bytes());
    return absl::OkStatus();
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return MakeError(
        absl::StatusCode::kPermissionDenied, "FILE_NOT_READABLE",
        absl::StrCat("cannot read '", path, "': ", std::strerror(errno)));
  }
  RetryTimer timer(blobs.clock, blobs.retry);
  int64_t committed = -1;
  for (;;) {
    auto query = QueryWrite(blobs, blob.digest());
    absl::Status status = query.status();
    if (query.ok()) {
      if (query->complete()) return absl::OkStatus();
      if (query->committed_bytes() > committed) timer.Reset();
      committed = query->committed_bytes();
      status = WriteFrom(blobs, in, blob, committed, progress);
    }
    if (status.ok() || !MayGoOn(status) || !timer.Wait()) return status;
  }
}

absl::Status DownloadBlob(const BlobAccess& blobs, const std::string& digest,
                          const std::string& path,
                          const TransferProgress& progress) {
  CONDENSE_RETURN_IF_ERROR(CheckDigest(digest));
  if (HasDigest(path, digest)) return absl::OkStatus();
  const fs::path target = fs::absolute(path);
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(target.parent_path().string()));
  // The digest in its name: a part of another blob is never gone on with.
  const std::string part =
      (target.parent_path() / absl::StrCat(".", target.filename().string(), ".",
                                           digest.substr(7, 12), ".part"))
          .string();
  const absl::Status fetched = FetchPart(blobs, digest, part);
  const bool bad_part = fetched.code() == absl::StatusCode::kOutOfRange;
  if (!fetched.ok() && !bad_part) return fetched;
  if (bad_part || !HasDigest(part, digest)) {
    unlink(part.c_str());
    return Mismatch(absl::StrCat("'", target.filename().string(), "'"));
  }
  if (rename(part.c_str(), target.c_str()) != 0) return CannotWrite(path);
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(target, error));
  Report(progress, size, size);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadBlob(const BlobAccess& blobs,
                                     const std::string& digest,
                                     int64_t limit_bytes) {
  std::string content;
  int64_t done = 0;
  CONDENSE_RETURN_IF_ERROR(
      ReadRest(blobs, digest, &done, [&](const std::string& data) {
        content += data;
        if (static_cast<int64_t>(content.size()) <= limit_bytes) {
          return absl::OkStatus();
        }
        return MakeError(absl::StatusCode::kResourceExhausted, "BLOB_TOO_LARGE",
                         absl::StrCat("blob ", digest, " has more than ",
                                      limit_bytes, " bytes"));
      }));
  if (DigestOf(content) != digest) return Mismatch(digest);
  return content;
}

}  // namespace condense
