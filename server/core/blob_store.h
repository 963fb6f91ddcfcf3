#ifndef CONDENSE_SERVER_CORE_BLOB_STORE_H_
#define CONDENSE_SERVER_CORE_BLOB_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace condense {

// How much of a blob is there.
struct WriteState {
  int64_t committed_bytes = 0;
  // Stored and verified.
  bool complete = false;
};

// Takes the bytes of one blob. Used by one thread at a time; several writers of
// one blob may be at work, each skips what another has committed.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;
  // Appends bytes that belong at `offset`. When the last byte has come the blob
  // is verified and stored durably. INVALID_ARGUMENT, reason DIGEST_MISMATCH or
  // WRONG_SIZE: nothing is kept. ABORTED, reason WRONG_OFFSET: bytes before
  // `offset` are missing. RESOURCE_EXHAUSTED, reason DISK_FULL.
  virtual absl::StatusOr<WriteState> Append(int64_t offset,
                                            absl::string_view bytes) = 0;
};

// Reads one blob. Used by one thread at a time.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  // The next bytes, at most `limit`; empty at the end.
  virtual absl::StatusOr<std::string> Read(int64_t limit) = 0;
};

// Files named by their sha-256, "sha256:<64 hex digits>". What was committed of
// an interrupted write is kept, also over a restart. Thread-safe.
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  // The size of a stored blob, or nothing.
  virtual std::optional<int64_t> SizeOf(absl::string_view digest) = 0;
  virtual absl::StatusOr<WriteState> QueryWrite(absl::string_view digest) = 0;
  // Starts or resumes a write. INVALID_ARGUMENT, reason BAD_DIGEST.
  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> Write(
      absl::string_view digest, int64_t size_bytes) = 0;
  // From `offset` on, at most `limit` bytes (0: all). NOT_FOUND;
  // OUT_OF_RANGE: the offset lies past the end.
  virtual absl::StatusOr<std::unique_ptr<BlobReader>> Read(
      absl::string_view digest, int64_t offset, int64_t limit) = 0;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_CORE_BLOB_STORE_H_
