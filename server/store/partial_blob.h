#ifndef CONDENSE_SERVER_STORE_PARTIAL_BLOB_H_
#define CONDENSE_SERVER_STORE_PARTIAL_BLOB_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/digest.h"
#include "server/core/blob_store.h"

namespace condense {

// A blob that is being written, shared by all who write it: each skips what
// another has appended. Thread-safe.
class PartialBlob {
 public:
  // Opens or creates the partial file at `path`; what is there is hashed again.
  // The complete blob goes to `final_path`, whose folder exists.
  static absl::StatusOr<std::shared_ptr<PartialBlob>> Open(
      std::string digest, std::string path, std::string final_path);
  ~PartialBlob();

  // See BlobWriter::Append.
  absl::StatusOr<WriteState> Append(int64_t offset, int64_t size_bytes,
                                    absl::string_view bytes);
  WriteState state() const;

 private:
  PartialBlob(std::string digest, std::string path, std::string final_path);
  absl::Status RehashLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status WriteLocked(absl::string_view bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status PublishLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DiscardLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string digest_;
  const std::string path_;
  const std::string final_path_;
  mutable absl::Mutex mu_;
  int fd_ ABSL_GUARDED_BY(mu_) = -1;
  std::unique_ptr<Sha256> hash_ ABSL_GUARDED_BY(mu_);
  WriteState state_ ABSL_GUARDED_BY(mu_);
};

}  // namespace condense

#endif  // CONDENSE_SERVER_STORE_PARTIAL_BLOB_H_
