#include "server/store/directory_blob_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "common/digest.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "server/core/errors.h"
#include "server/store/partial_blob.h"

namespace condense {
namespace {

std::optional<int64_t> FileSize(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return info.st_size;
}

// For a blob that is there: nothing need be written.
class StoredWriter : public BlobWriter {
 public:
  explicit StoredWriter(int64_t size) : size_(size) {}
  absl::StatusOr<WriteState> Append(int64_t, absl::string_view) override {
    return WriteState{.committed_bytes = size_, .complete = true};
  }

 private:
  const int64_t size_;
};

class PartialWriter : public BlobWriter {
 public:
  PartialWriter(std::shared_ptr<PartialBlob> partial, int64_t size)
      : partial_(std::move(partial)), size_(size) {}
  absl::StatusOr<WriteState> Append(int64_t offset,
                                    absl::string_view bytes) override {
    return partial_->Append(offset, size_, bytes);
  }

 private:
  // Shared with other writers of the same blob.
  const std::shared_ptr<PartialBlob> partial_;
  const int64_t size_;
};

class FileReader : public BlobReader {
 public:
  FileReader(int fd, int64_t left) : fd_(fd), left_(left) {}
  ~FileReader() override { ::close(fd_); }

  absl::StatusOr<std::string> Read(int64_t limit) override {
    std::string bytes(std::min(limit, left_), '\0');
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::read(fd_, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return StoreFailed("read a blob", std::strerror(errno));
      if (n == 0) return StoreFailed("read a blob", "its file is too short");
      done += static_cast<size_t>(n);
    }
    left_ -= static_cast<int64_t>(done);
    return bytes;
  }

 private:
  const int fd_;
  int64_t left_;
};

class DirectoryBlobStore : public BlobStore {
 public:
  explicit DirectoryBlobStore(std::string root) : root_(std::move(root)) {}

  std::optional<int64_t> SizeOf(absl::string_view digest) override {
    if (!CheckDigest(digest).ok()) return std::nullopt;
    return FileSize(PathOf(digest));
  }

  absl::StatusOr<WriteState> QueryWrite(absl::string_view digest) override;
  absl::StatusOr<std::unique_ptr<BlobWriter>> Write(
      absl::string_view digest, int64_t size_bytes) override;
  absl::StatusOr<std::unique_ptr<BlobReader>> Read(absl::string_view digest,
                                                   int64_t offset,
                                                   int64_t limit) override;

 private:
  static std::string Hex(absl::string_view digest) {
    return std::string(absl::StripPrefix(digest, "sha256:"));
  }
  std::string PathOf(absl::string_view digest) const {
    const std::string hex = Hex(digest);
    return absl::StrCat(root_, "/", hex.substr(0, 2), "/", hex);
  }
  std::string PartialPathOf(absl::string_view digest) const {
    return absl::StrCat(root_, "/partial/", Hex(digest));
  }
  std::shared_ptr<PartialBlob> Active(const std::string& digest)
      ABSL_LOCKS_EXCLUDED(mu_);

  const std::string root_;
  absl::Mutex mu_;
  // Held while it is looked up and opened, so that a partial is opened once.
  absl::Mutex open_mu_ ABSL_ACQUIRED_BEFORE(mu_);
  // By digest; those that somebody writes.
  absl::flat_hash_map<std::string, std::weak_ptr<PartialBlob>> active_
      ABSL_GUARDED_BY(mu_);
};

std::shared_ptr<PartialBlob> DirectoryBlobStore::Active(
    const std::string& digest) {
  absl::MutexLock lock(&mu_);
  auto it = active_.find(digest);
  if (it == active_.end()) return nullptr;
  std::shared_ptr<PartialBlob> partial = it->second.lock();
  if (partial == nullptr) active_.erase(it);
  return partial;
}

absl::StatusOr<WriteState> DirectoryBlobStore::QueryWrite(
    absl::string_view digest) {
  CONDENSE_RETURN_IF_ERROR(CheckDigest(digest));
  if (const auto size = SizeOf(digest)) {
    return WriteState{.committed_bytes = *size, .complete = true};
  }
  if (auto partial = Active(std::string(digest))) return partial->state();
  return WriteState{.committed_bytes =
                        FileSize(PartialPathOf(digest)).value_or(0)};
}

absl::StatusOr<std::unique_ptr<BlobWriter>> DirectoryBlobStore::Write(
    absl::string_view digest, int64_t size_bytes) {
  CONDENSE_RETURN_IF_ERROR(CheckDigest(digest));
  absl::MutexLock open_lock(&open_mu_);
  if (const auto size = SizeOf(digest)) {
    return std::unique_ptr<BlobWriter>(std::make_unique<StoredWriter>(*size));
  }
  const std::string key(digest);
  std::shared_ptr<PartialBlob> partial = Active(key);
  if (partial == nullptr) {
    const std::string path = PathOf(digest);
    CONDENSE_RETURN_IF_ERROR(
        MakeWritableFolder(path.substr(0, path.rfind('/'))));
    CONDENSE_ASSIGN_OR_RETURN(
        partial, PartialBlob::Open(key, PartialPathOf(digest), path));
    absl::MutexLock lock(&mu_);
    active_[key] = partial;
  }
  return std::unique_ptr<BlobWriter>(
      std::make_unique<PartialWriter>(std::move(partial), size_bytes));
}

absl::StatusOr<std::unique_ptr<BlobReader>> DirectoryBlobStore::Read(
    absl::string_view digest, int64_t offset, int64_t limit) {
  CONDENSE_RETURN_IF_ERROR(CheckDigest(digest));
  const std::string path = PathOf(digest);
  const std::optional<int64_t> size = FileSize(path);
  if (!size.has_value()) return BlobNotFound(digest);
  if (offset < 0 || offset > *size) return OffsetPastEnd(offset, *size);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return BlobNotFound(digest);
  const int64_t rest = *size - offset;
  auto reader = std::make_unique<FileReader>(
      fd, limit > 0 ? std::min(limit, rest) : rest);
  if (::lseek(fd, offset, SEEK_SET) != offset) {
    return StoreFailed("read a blob", std::strerror(errno));
  }
  return std::unique_ptr<BlobReader>(std::move(reader));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobStore>> OpenDirectoryBlobStore(
    const std::string& root) {
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(root));
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(absl::StrCat(root, "/partial")));
  return std::unique_ptr<BlobStore>(std::make_unique<DirectoryBlobStore>(root));
}

}  // namespace condense
