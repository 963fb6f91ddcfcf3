#include "workers/agent/blob_cache.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/digest.h"
#include "common/error.h"
#include "common/files.h"
#include "common/status_macros.h"

namespace condense::agent {
namespace {

namespace fs = std::filesystem;

// A hard link costs nothing; a copy where the disk has none.
absl::Status LinkOrCopy(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::remove(to, error);
  fs::create_hard_link(from, to, error);
  if (!error) return absl::OkStatus();
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  if (!error) return absl::OkStatus();
  return MakeError(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                   absl::StrCat("cannot write ", to, ": ", error.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<BlobCache>> BlobCache::Open(Options options) {
  CONDENSE_RETURN_IF_ERROR(MakeWritableFolder(options.folder));
  auto cache = absl::WrapUnique(new BlobCache(std::move(options)));
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  for (const auto& entry : fs::directory_iterator(cache->options_.folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = entry.path().filename().string();
    if (CheckDigest(absl::StrCat("sha256:", name)).ok()) {
      found.emplace_back(entry.last_write_time(), entry.path());
    } else {
      std::error_code error;
      fs::remove(entry.path(), error);  // what a crash left half fetched
    }
  }
  std::sort(found.begin(), found.end());
  for (const auto& [time, path] : found) {
    cache->Touch(absl::StrCat("sha256:", path.filename().string()));
  }
  return cache;
}

std::string BlobCache::PathOf(const std::string& digest) const {
  return absl::StrCat(options_.folder, "/",
                      digest.substr(digest.find(':') + 1));
}

void BlobCache::Touch(const std::string& digest) {
  std::error_code error;
  const auto size = static_cast<int64_t>(fs::file_size(PathOf(digest), error));
  if (error) return;
  absl::MutexLock lock(&mu_);
  Entry& entry = entries_[digest];
  bytes_ += size - entry.bytes;
  entry.bytes = size;
  entry.last_use = ++uses_;
  Evict();
}

void BlobCache::Evict() {
  while (bytes_ > options_.max_bytes && entries_.size() > 1) {
    const auto oldest = std::min_element(
        entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
          return a.second.last_use < b.second.last_use;
        });
    std::error_code error;
    fs::remove(PathOf(oldest->first), error);
    bytes_ -= oldest->second.bytes;
    entries_.erase(oldest);
  }
}

class BlobCache::FetchGuard {
 public:
  FetchGuard(BlobCache* cache, const std::string& digest)
      : cache_(*cache), digest_(digest) {
    absl::MutexLock lock(&cache_.mu_);
    const auto free = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return cache_.fetching_.count(digest_) == 0;
    };
    cache_.mu_.Await(absl::Condition(&free));
    cache_.fetching_.insert(digest_);
  }
  ~FetchGuard() {
    absl::MutexLock lock(&cache_.mu_);
    cache_.fetching_.erase(digest_);
  }

 private:
  BlobCache& cache_;
  const std::string digest_;
};

absl::Status BlobCache::Place(const std::string& digest,
                              const std::string& path) {
  CONDENSE_RETURN_IF_ERROR(CheckDigest(digest));
  const FetchGuard guard(this, digest);
  // A second try where another job evicted it in between.
  for (int attempt = 0;; ++attempt) {
    CONDENSE_RETURN_IF_ERROR(
        DownloadBlob(options_.blobs, digest, PathOf(digest)));
    const absl::Status status = LinkOrCopy(PathOf(digest), path);
    if (status.ok()) {
      Touch(digest);
      return absl::OkStatus();
    }
    if (attempt > 0) return status;
  }
}

void BlobCache::Adopt(const std::string& digest, const std::string& path) {
  std::error_code error;
  if (fs::exists(PathOf(digest), error)) return;
  if (LinkOrCopy(path, PathOf(digest)).ok()) Touch(digest);
}

int64_t BlobCache::bytes() const {
  absl::MutexLock lock(&mu_);
  return bytes_;
}

}  // namespace condense::agent
