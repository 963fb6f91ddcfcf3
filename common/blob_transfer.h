#ifndef CONDENSE_COMMON_BLOB_TRANSFER_H_
#define CONDENSE_COMMON_BLOB_TRANSFER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"
#include "condense/v1/blob_service.grpc.pb.h"
#include "condense/v1/job.pb.h"

namespace condense {

// How to reach a store of blobs. Cheap to copy; calls may be made from many
// threads.
struct BlobAccess {
  // Must outlive the access.
  v1::BlobService::StubInterface* stub = nullptr;
  Clock* clock = Clock::Real();
  // How long a transfer that makes no progress is tried.
  absl::Duration retry = absl::Seconds(10);
  // Words an error of a call.
  std::function<absl::Status(const grpc::Status&)> status_of;
};

// Called now and then with bytes done and bytes in all. May be empty.
using TransferProgress = std::function<void(int64_t done, int64_t total)>;

// Stores the file's bytes under blob.digest, unless they are there already;
// goes on where an earlier try stopped. PERMISSION_DENIED with reason
// FILE_NOT_READABLE, INTERNAL with reason FILE_CHANGED.
absl::Status UploadBlob(const BlobAccess& blobs, const std::string& path,
                        const v1::BlobRef& blob,
                        const TransferProgress& progress = {});

// Writes one blob to `path`: first to a file beside it, from where an earlier
// try stopped, then, when the digest is right, under its name. A file that is
// there and right is left alone. Makes the folder. DATA_LOSS with reason
// DIGEST_MISMATCH; PERMISSION_DENIED and RESOURCE_EXHAUSTED of the disk.
absl::Status DownloadBlob(const BlobAccess& blobs, const std::string& digest,
                          const std::string& path,
                          const TransferProgress& progress = {});

// A small blob's content (at most `limit_bytes`, else RESOURCE_EXHAUSTED),
// digest verified.
absl::StatusOr<std::string> ReadBlob(const BlobAccess& blobs,
                                     const std::string& digest,
                                     int64_t limit_bytes = 64 << 20);

}  // namespace condense

#endif  // CONDENSE_COMMON_BLOB_TRANSFER_H_
