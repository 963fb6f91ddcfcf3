#include "server/store/partial_blob.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "server/core/errors.h"

namespace condense {
namespace {

constexpr size_t kHashBuffer = 256 * 1024;

absl::Status FileFailed(absl::string_view doing, const std::string& path) {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT) {
    return MakeError(
        absl::StatusCode::kResourceExhausted, "DISK_FULL",
        absl::StrCat("cannot ", doing, ": ", std::strerror(error)));
  }
  return StoreFailed(absl::StrCat(doing, " ", path), std::strerror(error));
}

void SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

PartialBlob::PartialBlob(std::string digest, std::string path,
                         std::string final_path)
    : digest_(std::move(digest)),
      path_(std::move(path)),
      final_path_(std::move(final_path)) {}

PartialBlob::~PartialBlob() {
  if (fd_ >= 0) ::close(fd_);
}

absl::StatusOr<std::shared_ptr<PartialBlob>> PartialBlob::Open(
    std::string digest, std::string path, std::string final_path) {
  std::shared_ptr<PartialBlob> partial(new PartialBlob(
      std::move(digest), std::move(path), std::move(final_path)));
  absl::MutexLock lock(&partial->mu_);
  partial->fd_ =
      ::open(partial->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (partial->fd_ < 0) return FileFailed("create", partial->path_);
  CONDENSE_RETURN_IF_ERROR(partial->RehashLocked());
  return partial;
}

absl::Status PartialBlob::RehashLocked() {
  hash_ = std::make_unique<Sha256>();
  std::string buffer(kHashBuffer, '\0');
  while (true) {
    const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileFailed("read", path_);
    if (n == 0) return absl::OkStatus();
    hash_->Update(absl::string_view(buffer.data(), n));
    state_.committed_bytes += n;
  }
}

absl::StatusOr<WriteState> PartialBlob::Append(int64_t offset,
                                               int64_t size_bytes,
                                               absl::string_view bytes) {
  absl::MutexLock lock(&mu_);
  if (state_.complete) return state_;
  if (offset < 0 || offset > state_.committed_bytes) {
    return WrongOffset(offset, state_.committed_bytes);
  }
  const int64_t end = offset + static_cast<int64_t>(bytes.size());
  if (std::max(end, state_.committed_bytes) > size_bytes) {
    return WrongSize(size_bytes, std::max(end, state_.committed_bytes));
  }
  const int64_t known = state_.committed_bytes - offset;
  if (known < static_cast<int64_t>(bytes.size())) {
    CONDENSE_RETURN_IF_ERROR(WriteLocked(bytes.substr(known)));
  }
  if (state_.committed_bytes == size_bytes) {
    CONDENSE_RETURN_IF_ERROR(PublishLocked());
  }
  return state_;
}

absl::Status PartialBlob::WriteLocked(absl::string_view bytes) {
  const int64_t start = state_.committed_bytes;
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = ::pwrite(fd_, bytes.data() + done, bytes.size() - done,
                               start + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const absl::Status status = FileFailed("write", path_);
      // What the hash has not seen must not be there after a restart.
      if (::ftruncate(fd_, start) != 0) DiscardLocked();
      return status;
    }
    done += static_cast<size_t>(n);
  }
  hash_->Update(bytes);
  state_.committed_bytes += static_cast<int64_t>(bytes.size());
  return absl::OkStatus();
}

absl::Status PartialBlob::PublishLocked() {
  const std::string found = hash_->Finish();
  if (found != digest_) {
    DiscardLocked();
    return DigestMismatch(digest_, found);
  }
  if (::fsync(fd_) != 0 || ::rename(path_.c_str(), final_path_.c_str()) != 0) {
    const absl::Status status = FileFailed("store", final_path_);
    DiscardLocked();
    return status;
  }
  SyncFolderOf(final_path_);
  state_.complete = true;
  return absl::OkStatus();
}

// Starts over with an empty file; writers are told by WRONG_OFFSET.
void PartialBlob::DiscardLocked() {
  ::close(fd_);
  ::unlink(path_.c_str());
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  hash_ = std::make_unique<Sha256>();
  state_ = {};
}

WriteState PartialBlob::state() const {
  absl::MutexLock lock(&mu_);
  return state_;
}

}  // namespace condense
