#include "common/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense {
namespace {

namespace fs = std::filesystem;

absl::Status FileError(absl::string_view doing, const std::string& path,
                       int error) {
  const std::string message =
      absl::StrCat("cannot ", doing, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                       message);
    case EACCES:
    case EPERM:
    case EROFS:
      return MakeError(absl::StatusCode::kPermissionDenied, "FILE_NOT_WRITABLE",
                       message);
    default:
      return MakeError(absl::StatusCode::kInternal, "FILE_NOT_WRITABLE",
                       message);
  }
}

// Returns 0 or errno.
int WriteAll(int fd, absl::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    content.remove_prefix(n);
  }
  return 0;
}

void SyncFolder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    return MakeError(absl::StatusCode::kInvalidArgument, "IS_A_FOLDER",
                     absl::StrCat(path, " is a folder, not a file"));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return MakeError(
        absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
        absl::StrCat("cannot open ", path, ": ", std::strerror(errno)));
  }
  std::string content{std::istreambuf_iterator<char>(in), {}};
  if (in.bad()) {
    return MakeError(absl::StatusCode::kInternal, "FILE_UNREADABLE",
                     absl::StrCat("cannot read ", path));
  }
  return content;
}

AtomicFile::AtomicFile(std::string path, std::string temp, int fd)
    : path_(std::move(path)), temp_(std::move(temp)), fd_(fd) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temp_(std::move(other.temp_)),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temp_.c_str());
}

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path) {
  std::string temp = absl::StrCat(path, ".tmp.XXXXXX");
  const int fd = ::mkostemp(temp.data(), O_CLOEXEC);
  if (fd < 0) return FileError("create", temp, errno);
  ::fchmod(fd, 0644);
  return AtomicFile(path, std::move(temp), fd);
}

absl::Status AtomicFile::Append(absl::string_view piece) {
  const int error = WriteAll(fd_, piece);
  return error == 0 ? absl::OkStatus() : FileError("write", path_, error);
}

absl::Status AtomicFile::Commit() {
  int error = ::fsync(fd_) == 0 ? 0 : errno;
  if (::close(std::exchange(fd_, -1)) != 0 && error == 0) error = errno;
  if (error == 0 && ::rename(temp_.c_str(), path_.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temp_.c_str());
    return FileError("write", path_, error);
  }
  const fs::path folder = fs::path(path_).parent_path();
  SyncFolder(folder.empty() ? fs::path(".") : folder);
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view content) {
  return WriteFileAtomically(path, absl::MakeConstSpan(&content, 1));
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::Span<const absl::string_view> parts) {
  CONDENSE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  for (absl::string_view part : parts) {
    CONDENSE_RETURN_IF_ERROR(file.Append(part));
  }
  return file.Commit();
}

absl::Status MakeWritableFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error || ::access(path.c_str(), W_OK | X_OK) != 0) {
    return MakeError(
        absl::StatusCode::kPermissionDenied, "FOLDER_NOT_WRITABLE",
        absl::StrCat("cannot write to the folder ", path, ": ",
                     error ? error.message() : std::strerror(errno)));
  }
  return absl::OkStatus();
}

std::string SelfPath() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  return error ? std::string() : self.string();
}

std::string DataDir() {
  if (const char* dir = std::getenv("CONDENSE_DATA_DIR")) return dir;
  const fs::path installed =
      fs::path(SelfPath()).parent_path().parent_path() / "share" / "condense";
  std::error_code error;
  if (fs::exists(installed / "profiles", error)) return installed.string();
  return CONDENSE_SOURCE_DATA_DIR;
}

}  // namespace condense
