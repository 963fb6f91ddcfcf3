#include "client/cpp/transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cpp/retry.h"
#include "client/cpp/tar.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace condense::client {
namespace {

namespace fs = std::filesystem;

constexpr size_t kChunkBytes = 512 << 10;

void Report(const TransferProgress& progress, int64_t done, int64_t total) {
  if (progress) progress(done, total);
}

std::string FileName(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal.filename().string()
                               : normal.parent_path().filename().string();
}

absl::StatusOr<bool> IsStored(Client& client, const std::string& digest) {
  v1::FindMissingRequest request;
  request.add_digests(digest);
  v1::FindMissingResponse response;
  grpc::ClientContext context;
  CONDENSE_RETURN_IF_ERROR(
      StatusOfCall(client.blobs()->FindMissing(&context, request, &response),
                   client.options().server));
  return response.digests().empty();
}

absl::StatusOr<v1::QueryWriteResponse> QueryWrite(Client& client,
                                                  const std::string& digest) {
  v1::QueryWriteRequest request;
  request.set_digest(digest);
  v1::QueryWriteResponse response;
  grpc::ClientContext context;
  CONDENSE_RETURN_IF_ERROR(
      StatusOfCall(client.blobs()->QueryWrite(&context, request, &response),
                   client.options().server));
  return response;
}

// Sends the file from `offset` to its end in one call.
absl::Status WriteFrom(Client& client, std::ifstream& in,
                       const v1::BlobRef& blob, int64_t offset,
                       const TransferProgress& progress) {
  grpc::ClientContext context;
  v1::WriteResponse response;
  auto writer = client.blobs()->Write(&context, &response);
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
  CONDENSE_RETURN_IF_ERROR(
      StatusOfCall(writer->Finish(), client.options().server));
  if (!response.complete()) {
    return absl::UnavailableError("the upload ended early");
  }
  return absl::OkStatus();
}

bool MayGoOn(const absl::Status& status) {
  return IsTransient(status) || status.code() == absl::StatusCode::kAborted;
}

// Stores the file's bytes under blob.digest.
absl::Status Upload(Client& client, const std::string& path,
                    const v1::BlobRef& blob, const TransferProgress& progress) {
  CONDENSE_ASSIGN_OR_RETURN(const bool stored, IsStored(client, blob.digest()));
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
  RetryTimer timer(client.options().clock, client.options().call_retry);
  int64_t committed = -1;
  for (;;) {
    auto query = QueryWrite(client, blob.digest());
    absl::Status status = query.status();
    if (query.ok()) {
      if (query->complete()) return absl::OkStatus();
      if (query->committed_bytes() > committed) timer.Reset();
      committed = query->committed_bytes();
      status = WriteFrom(client, in, blob, committed, progress);
    }
    if (status.ok() || !MayGoOn(status) || !timer.Wait()) return status;
  }
}

absl::Status CheckFile(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                     absl::StrCat("there is no file '", path, "'"));
  }
  if (!fs::is_regular_file(status)) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "NOT_A_FILE",
        absl::StrCat("'", path, "' is ",
                     fs::is_directory(status) ? "a folder" : "no regular file",
                     "; a file is needed here"));
  }
  return absl::OkStatus();
}

// An unnamed place on disk that goes when it is dropped.
class TempFile {
 public:
  TempFile() {
    std::error_code error;
    fs::path folder = fs::temp_directory_path(error);
    if (error) folder = ".";
    path_ = (folder / "condense-upload-XXXXXX").string();
    fd_ = mkostemp(path_.data(), O_CLOEXEC);
  }
  ~TempFile() {
    if (fd_ < 0) return;
    close(fd_);
    unlink(path_.c_str());
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  int fd() const { return fd_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int fd_;
};

// Reads a blob from `offset` on; `sink` gets each chunk.
absl::Status ReadFrom(
    Client& client, const std::string& digest, int64_t offset,
    const std::function<absl::Status(const std::string&)>& sink) {
  v1::ReadRequest request;
  request.set_digest(digest);
  request.set_offset(offset);
  grpc::ClientContext context;
  auto stream = client.blobs()->Read(&context, request);
  v1::ReadResponse response;
  while (stream->Read(&response)) {
    if (absl::Status status = sink(response.data()); !status.ok()) {
      context.TryCancel();
      stream->Finish();
      return status;
    }
  }
  return StatusOfCall(stream->Finish(), client.options().server);
}

// Reads a whole blob whose first `*done` bytes are there; tries again from
// where it stopped while the server is away.
absl::Status ReadRest(
    Client& client, const std::string& digest, int64_t* done,
    const std::function<absl::Status(const std::string&)>& sink) {
  RetryTimer timer(client.options().clock, client.options().call_retry);
  for (;;) {
    const int64_t before = *done;
    const absl::Status status =
        ReadFrom(client, digest, *done, [&](const std::string& data) {
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

bool IsPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

absl::Status FetchPart(Client& client, const std::string& digest,
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
      ReadRest(client, digest, &done, [&](const std::string& data) {
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

absl::StatusOr<v1::BlobRef> UploadFile(Client& client, const std::string& path,
                                       const TransferProgress& progress) {
  CONDENSE_RETURN_IF_ERROR(CheckFile(path));
  v1::BlobRef blob;
  CONDENSE_ASSIGN_OR_RETURN(*blob.mutable_digest(), DigestOfFile(path));
  std::error_code error;
  blob.set_size_bytes(static_cast<int64_t>(fs::file_size(path, error)));
  blob.set_filename(FileName(path));
  CONDENSE_RETURN_IF_ERROR(Upload(client, path, blob, progress));
  return blob;
}

absl::StatusOr<v1::NamedData> UploadData(Client& client,
                                         const std::string& name,
                                         const std::string& path,
                                         const TransferProgress& progress) {
  v1::NamedData data;
  data.set_name(name);
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    CONDENSE_ASSIGN_OR_RETURN(*data.mutable_blob(),
                              UploadFile(client, path, progress));
    return data;
  }
  data.set_is_folder(true);
  TempFile temp;
  if (temp.fd() < 0) return CannotWrite(temp.path());
  CONDENSE_ASSIGN_OR_RETURN(const TarSummary tar,
                            WriteFolderTar(path, temp.fd()));
  if (tar.files == 0) {
    return MakeError(absl::StatusCode::kInvalidArgument, "EMPTY_FOLDER",
                     absl::StrCat("the folder '", path, "' has no files"),
                     {.field = absl::StrCat("data.", name)});
  }
  data.mutable_blob()->set_digest(tar.digest);
  data.mutable_blob()->set_size_bytes(tar.size_bytes);
  data.mutable_blob()->set_filename(FileName(path) + ".tar");
  CONDENSE_RETURN_IF_ERROR(Upload(client, temp.path(), data.blob(), progress));
  return data;
}

absl::Status DownloadBlob(Client& client, const std::string& digest,
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
  const absl::Status fetched = FetchPart(client, digest, part);
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

absl::StatusOr<std::string> ReadBlob(Client& client, const std::string& digest,
                                     int64_t limit_bytes) {
  std::string content;
  int64_t done = 0;
  CONDENSE_RETURN_IF_ERROR(
      ReadRest(client, digest, &done, [&](const std::string& data) {
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

absl::StatusOr<std::string> DownloadArtifact(Client& client,
                                             const v1::Artifact& artifact,
                                             const std::string& out,
                                             const TransferProgress& progress) {
  const auto bad_name = [](const std::string& name) {
    return MakeError(
        absl::StatusCode::kDataLoss, "BAD_FILE_NAME",
        absl::StrCat("the server names a file '", name, "', which is refused"));
  };
  if (!IsPlainName(artifact.profile())) return bad_name(artifact.profile());
  for (const v1::Artifact::File& file : artifact.files()) {
    if (!IsPlainName(file.name())) return bad_name(file.name());
  }
  const fs::path folder = fs::path(out) / artifact.profile();
  int64_t total = 0;
  for (const auto& file : artifact.files()) total += file.size_bytes();
  int64_t done = 0;
  for (const v1::Artifact::File& file : artifact.files()) {
    CONDENSE_RETURN_IF_ERROR(
        DownloadBlob(client, file.digest(), (folder / file.name()).string()));
    done += file.size_bytes();
    Report(progress, done, total);
  }
  return folder.string();
}

}  // namespace condense::client
