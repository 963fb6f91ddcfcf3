#ifndef CONDENSE_WORKERS_AGENT_BLOB_CACHE_H_
#define CONDENSE_WORKERS_AGENT_BLOB_CACHE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/blob_transfer.h"

namespace condense::agent {

// Blobs that were fetched before, in a folder of files named by their digest.
// The least recently used go first when it grows past its limit. Thread-safe.
class BlobCache {
 public:
  struct Options {
    std::string folder;
    int64_t max_bytes = int64_t{20} << 30;
    BlobAccess blobs;
  };
  // Takes over what lies in the folder. PERMISSION_DENIED.
  static absl::StatusOr<std::unique_ptr<BlobCache>> Open(Options options);

  // Puts the blob at `path` (a hard link, or a copy on another disk), fetching
  // it if it is not here. Errors: DIGEST_MISMATCH, those of the server and the
  // disk.
  absl::Status Place(const std::string& digest, const std::string& path);
  // A file that was made here and uploaded: kept without fetching.
  void Adopt(const std::string& digest, const std::string& path);

  int64_t bytes() const;

 private:
  // Held while a digest is fetched: two slots may want the same blob.
  class FetchGuard;
  explicit BlobCache(Options options) : options_(std::move(options)) {}
  struct Entry {
    int64_t bytes = 0;
    int64_t last_use = 0;
  };
  std::string PathOf(const std::string& digest) const;
  void Touch(const std::string& digest);
  void Evict() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  mutable absl::Mutex mu_;
  std::set<std::string> fetching_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mu_);
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t uses_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_BLOB_CACHE_H_
