#include "client/cpp/transfer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/cpp/tar.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::client {
namespace {

namespace fs = std::filesystem;

BlobAccess AccessOf(Client& client) {
  BlobAccess access;
  access.stub = client.blobs();
  access.clock = client.options().clock;
  access.retry = client.options().call_retry;
  access.status_of = [server =
                          client.options().server](const grpc::Status& status) {
    return StatusOfCall(status, server);
  };
  return access;
}

std::string FileName(const fs::path& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal.filename().string()
                               : normal.parent_path().filename().string();
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

bool IsPlainName(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
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
  CONDENSE_RETURN_IF_ERROR(UploadBlob(AccessOf(client), path, blob, progress));
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
  if (temp.fd() < 0) {
    return MakeError(absl::StatusCode::kPermissionDenied, "FILE_NOT_WRITABLE",
                     absl::StrCat("cannot write '", temp.path(),
                                  "': ", std::strerror(errno)));
  }
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
  CONDENSE_RETURN_IF_ERROR(
      UploadBlob(AccessOf(client), temp.path(), data.blob(), progress));
  return data;
}

absl::Status DownloadBlob(Client& client, const std::string& digest,
                          const std::string& path,
                          const TransferProgress& progress) {
  return condense::DownloadBlob(AccessOf(client), digest, path, progress);
}

absl::StatusOr<std::string> ReadBlob(Client& client, const std::string& digest,
                                     int64_t limit_bytes) {
  return condense::ReadBlob(AccessOf(client), digest, limit_bytes);
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
    if (progress) progress(done, total);
  }
  return folder.string();
}

}  // namespace condense::client
